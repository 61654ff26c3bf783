import { Type, type Static } from 'typebox';

/** `GET /config`. */
export const ConfigurationDto = Type.Object({
  version: Type.String(),
  oidc: Type.Object({ issuer: Type.String(), clientId: Type.String(), audience: Type.String(), provider: Type.String() }),
  linkedAccountsEnabled: Type.Boolean(),
  announcements: Type.Record(Type.String(), Type.Object({ text: Type.String(), learnMoreUrl: Type.Optional(Type.String()) })),
  /** Holds `{{PORT}}` and `{{sandboxId}}`. */
  proxyTemplateUrl: Type.String(),
  proxyToolboxUrl: Type.String(),
  defaultSnapshot: Type.String(),
  dashboardUrl: Type.String(),
  /** Minutes. */
  maxAutoArchiveInterval: Type.Integer(),
  /** Misspelt on the wire. */
  maintananceMode: Type.Boolean(),
  environment: Type.String(),
  /** Holds `{{TOKEN}}`. Absent: no SSH. */
  sshGatewayCommand: Type.Optional(Type.String()),
  /** Base64 of a line of OpenSSH's public key format: the key that the SSH gateway shows. Absent: no SSH. */
  sshGatewayPublicKey: Type.Optional(Type.String()),
}, { title: 'DaytonaConfiguration' });
export type ConfigurationDto = Static<typeof ConfigurationDto>;

export const HealthDto = Type.Object({ status: Type.String() }, { title: 'Health' });

const Checks = Type.Record(Type.String(), Type.Object({ status: Type.String(), message: Type.Optional(Type.String()) }));
/** `info` holds what is up, `error` what is down, `details` both. */
export const ReadinessDto = Type.Object({ status: Type.String(), info: Checks, error: Checks, details: Checks }, { title: 'Readiness' });
export type ReadinessDto = Static<typeof ReadinessDto>;
