import { Type, type Static, type TSchema } from 'typebox';
import { DESIRED_STATES, SANDBOX_STATES } from '../sandbox-states.ts';
import { BuildInfoDto, CreateBuildInfo } from './snapshots.ts';

/** Bodies and queries of the sandbox routes. Requests are documented here and read leniently: null is absent, unknown fields are ignored. */

const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);
const oneOf = <const T extends readonly string[]>(values: T) => Type.Enum([...values] as unknown as T);
const stringMap = Type.Record(Type.String(), Type.String());
const minutes = (description: string) => Type.Integer({ description });
const date = Type.String({ format: 'date-time' });

export const SandboxListItemDto = Type.Object({
  id: Type.String(),
  organizationId: Type.String(),
  name: Type.String(),
  target: Type.String({ description: 'Region' }),
  runnerId: optional(Type.String()),
  sandboxClass: oneOf(['linux-vm', 'container', 'android', 'windows']),
  state: oneOf(SANDBOX_STATES),
  desiredState: oneOf(DESIRED_STATES),
  snapshot: optional(Type.String({ description: 'Name of the snapshot' })),
  user: Type.String(),
  errorReason: optional(Type.String()),
  recoverable: Type.Boolean(),
  public: Type.Boolean(),
  networkBlockAll: Type.Boolean(),
  networkAllowList: optional(Type.String({ description: 'IPv4 CIDR blocks, comma-separated' })),
  domainAllowList: optional(Type.String()),
  cpu: Type.Number({ description: 'Cores' }),
  gpu: Type.Number(),
  kvm: Type.Boolean(),
  spot: Type.Boolean(),
  memory: Type.Number({ description: 'GiB' }),
  disk: Type.Number({ description: 'GiB' }),
  labels: stringMap,
  backupState: oneOf(['None', 'Pending', 'InProgress', 'Completed', 'Error']),
  autoStopInterval: minutes('Minutes without activity until the sandbox is stopped; 0: never'),
  autoPauseInterval: minutes('Minutes without activity until the sandbox is paused; 0: never'),
  autoArchiveInterval: minutes('Minutes stopped until the sandbox is archived'),
  autoDeleteInterval: minutes('Minutes stopped until the sandbox is deleted; 0: when it stops, negative: never'),
  autoDestroyAt: optional(date),
  createdAt: date,
  updatedAt: date,
  lastActivityAt: date,
  daemonVersion: optional(Type.String()),
  warmPoolId: optional(Type.String()),
  toolboxProxyUrl: Type.String(),
});
export type SandboxListItemDto = Static<typeof SandboxListItemDto>;

export const SandboxDto = Type.Object({
  ...SandboxListItemDto.properties,
  backupCreatedAt: optional(date),
  env: stringMap,
  volumes: Type.Array(Type.Object({ volumeId: Type.String(), mountPath: Type.String(), subpath: optional(Type.String()) })),
  buildInfo: optional(BuildInfoDto),
});
export type SandboxDto = Static<typeof SandboxDto>;

/** wire: `POST /sandbox`. Everything is optional. */
export const CreateSandbox = Type.Object({
  name: optional(Type.String({ description: 'Unique in the organization; default: the id' })),
  snapshot: optional(Type.String({ description: 'Id or name; default: the default snapshot' })),
  buildInfo: optional(CreateBuildInfo),
  cpu: optional(Type.Integer({ description: 'Cores, with buildInfo only' })),
  memory: optional(Type.Integer({ description: 'GiB, with buildInfo only' })),
  disk: optional(Type.Integer({ description: 'GiB, with buildInfo only' })),
  user: optional(Type.String()),
  env: optional(stringMap),
  labels: optional(stringMap),
  public: optional(Type.Boolean()),
  networkBlockAll: optional(Type.Boolean()),
  networkAllowList: optional(Type.String()),
  volumes: optional(Type.Array(Type.Object({
    volumeId: Type.String({ description: 'Id or name' }), mountPath: Type.String({ description: 'Absolute path' }),
    subpath: optional(Type.String({ description: 'Directory of the volume that is shown; default: all of it' })),
  }))),
  target: optional(Type.String({ description: 'Region id or name' })),
  autoStopInterval: optional(Type.Integer({ minimum: 0, default: 15 })),
  autoArchiveInterval: optional(Type.Integer({ minimum: 0, default: 10_080 })),
  autoDeleteInterval: optional(Type.Integer({ default: -1 })),
  ttlMinutes: optional(Type.Integer({ minimum: 0, default: 0 })),
});

/** wire: whole numbers, `POST /sandbox/:id/resize`. */
export const ResizeSandbox = Type.Object({
  cpu: optional(Type.Integer({ minimum: 1, maximum: 1_024, description: 'Cores' })),
  memory: optional(Type.Integer({ minimum: 1, maximum: 1_048_576, description: 'GiB' })),
  disk: optional(Type.Integer({ minimum: 1, maximum: 1_048_576, description: 'GiB; may only grow' })),
}, { title: 'ResizeSandbox' });

export const CreateSandboxSnapshot = Type.Object({
  name: Type.String({ description: 'Of the new snapshot' }),
  includeMemory: optional(Type.Boolean({ default: false, description: 'Refused: containers have no memory snapshots' })),
}, { title: 'CreateSandboxSnapshot' });

export const SandboxLabels = Type.Object({ labels: stringMap });

export const UpdateSandboxNetworkSettings = Type.Object({
  networkBlockAll: optional(Type.Boolean()),
  networkAllowList: optional(Type.String()),
  domainAllowList: optional(Type.String()),
});

export const ListSandboxesResponse = Type.Object({ items: Type.Array(SandboxListItemDto), nextCursor: Type.Union([Type.String(), Type.Null()]) });
export const PaginatedSandboxes = Type.Object({
  items: Type.Array(SandboxDto), total: Type.Integer(), page: Type.Integer(), totalPages: Type.Integer(),
});
export const PortPreviewUrl = Type.Object({ sandboxId: Type.String(), url: Type.String(), token: Type.String() });
export const SignedPortPreviewUrl = Type.Object({ sandboxId: Type.String(), port: Type.Integer(), token: Type.String(), url: Type.String() });
/** Dates as ISO 8601. `sshCommand` can be run as it is. */
export const SshAccessDto = Type.Object({
  id: Type.String(), sandboxId: Type.String(), token: Type.String(), expiresAt: Type.String(), createdAt: Type.String(), updatedAt: Type.String(),
  sshCommand: Type.String(),
}, { title: 'SshAccessDto' });
export type SshAccessDto = Static<typeof SshAccessDto>;
export const SshAccessValidationDto = Type.Object({ valid: Type.Boolean(), sandboxId: Type.Optional(Type.String()) }, { title: 'SshAccessValidationDto' });
export const ToolboxProxyUrl = Type.Object({ url: Type.String() });
