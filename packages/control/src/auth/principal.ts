import type { Permission } from '@paddock/contract';

/** A user who came with an API key. Limited to the key's permissions, whatever the user's role is. */
export interface UserPrincipal {
  readonly kind: 'api-key';
  readonly userId: string;
  readonly email: string;
  readonly organizationId: string;
  readonly organizationRole: 'owner' | 'member';
  readonly systemRole: 'user' | 'admin';
  readonly permissions: ReadonlySet<Permission>;
  /** Name of the key, unique for its user in its organization. */
  readonly keyName: string;
  /** sha256 of the key in hex. */
  readonly keyHash: string;
}

/** Holder of the health key: may ask whether the server is ready and nothing else. */
export interface HealthPrincipal {
  readonly kind: 'health-check';
}

export type Principal = UserPrincipal | HealthPrincipal;

/**
 * Who may call a route. `public`: anyone. Otherwise a credential is needed, and:
 * - `requires`: every one of these permissions;
 * - `anyOf`: at least one of them;
 * - `owner`: owner of the organization; `admin`: administrator of the installation;
 * - `health`: also the health key.
 */
export type Access = 'public' | {
  readonly requires?: readonly Permission[];
  readonly anyOf?: readonly Permission[];
  readonly owner?: boolean;
  readonly admin?: boolean;
  readonly health?: boolean;
};

/** A route that says nothing needs membership of an organization. */
export const MEMBER: Access = {};

/** @param organizationInPath `:organizationId` of the route, when it has one. @returns null when the principal may enter */
export function refusal(access: Access, principal: Principal, organizationInPath: string | undefined): 'ACCESS_DENIED' | 'WRONG_CONTEXT' | null {
  if (access === 'public') return null;
  if (principal.kind === 'health-check') return access.health ? null : 'WRONG_CONTEXT';
  if (access.admin) return principal.systemRole === 'admin' ? null : 'ACCESS_DENIED';
  if (organizationInPath !== undefined && organizationInPath !== principal.organizationId) return 'WRONG_CONTEXT';
  if (access.health && principal.systemRole !== 'admin') return 'ACCESS_DENIED';
  if (access.owner && principal.organizationRole !== 'owner') return 'ACCESS_DENIED';
  if (access.requires?.some((permission) => !principal.permissions.has(permission))) return 'ACCESS_DENIED';
  if (access.anyOf && !access.anyOf.some((permission) => principal.permissions.has(permission))) return 'ACCESS_DENIED';
  return null;
}
