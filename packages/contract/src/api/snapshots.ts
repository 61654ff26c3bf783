import { Type, type Static } from 'typebox';
import { Nullable, SANDBOX_CLASSES, StringEnum, Timestamp } from './common.ts';

export const SNAPSHOT_STATES = ['building', 'pending', 'pulling', 'snapshotting', 'active', 'inactive', 'error', 'build_failed', 'removing'] as const;
export type SnapshotState = (typeof SNAPSHOT_STATES)[number];

/** wire: what a snapshot or sandbox was built from. */
export const BuildInfoDto = Type.Object({
  dockerfileContent: Type.Optional(Type.String()),
  contextHashes: Type.Optional(Type.Array(Type.String())),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  snapshotRef: Type.String(),
}, { title: 'BuildInfo' });
export type BuildInfoDto = Static<typeof BuildInfoDto>;

/** wire: hashes name tars that the organization uploaded to object storage (`<organizationId>/<hash>/context.tar`). */
export const CreateBuildInfo = Type.Object({
  dockerfileContent: Type.String(), contextHashes: Type.Optional(Type.Array(Type.String())),
}, { title: 'CreateBuildInfo' });

/** wire: exactly one of `imageName` and `buildInfo`. Read leniently: null is absent, unknown fields are ignored. */
export const CreateSnapshot = Type.Object({
  name: Type.String(),
  imageName: Type.Optional(Type.String({ description: 'With a tag other than latest, or a digest' })),
  entrypoint: Type.Optional(Type.Array(Type.String())),
  cpu: Type.Optional(Type.Integer()),
  gpu: Type.Optional(Type.Integer()),
  gpuType: Type.Optional(Type.Array(Type.String())),
  memory: Type.Optional(Type.Integer({ description: 'GiB' })),
  disk: Type.Optional(Type.Integer({ description: 'GiB' })),
  buildInfo: Type.Optional(CreateBuildInfo),
  regionId: Type.Optional(Type.String({ description: 'Default: the organization\'s default region' })),
  sandboxClass: Type.Optional(StringEnum(SANDBOX_CLASSES)),
}, { title: 'CreateSnapshot' });

export const SetSnapshotGeneralStatus = Type.Object({ general: Type.Boolean() }, { title: 'SetSnapshotGeneralStatusDto' });
export const UrlDto = Type.Object({ url: Type.String() }, { title: 'Url' });
export const FollowQuery = Type.Object({ follow: Type.Optional(Type.Boolean({ description: 'Stay until the build ends' })) });

export const SnapshotDto = Type.Object({
  id: Type.String(),
  organizationId: Type.Optional(Type.String()),
  general: Type.Boolean(),
  name: Type.String(),
  imageName: Type.Optional(Type.String()),
  state: StringEnum(SNAPSHOT_STATES),
  /** GiB; null until known. */
  size: Nullable(Type.Number()),
  entrypoint: Nullable(Type.Array(Type.String())),
  cpu: Type.Integer(),
  gpu: Type.Integer(),
  gpuType: Type.Optional(Type.String()),
  mem: Type.Integer(),
  disk: Type.Integer(),
  errorReason: Nullable(Type.String()),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  lastUsedAt: Nullable(Timestamp),
  buildInfo: Type.Optional(BuildInfoDto),
  regionIds: Type.Optional(Type.Array(Type.String())),
  ref: Type.Optional(Type.String()),
  sourceSandboxId: Nullable(Type.String()),
  sandboxClass: Type.Optional(StringEnum(SANDBOX_CLASSES)),
}, { title: 'SnapshotDto' });
export type SnapshotDto = Static<typeof SnapshotDto>;

export const PaginatedSnapshots = Type.Object({
  items: Type.Array(SnapshotDto), total: Type.Integer(), page: Type.Integer(), totalPages: Type.Integer(),
}, { title: 'PaginatedSnapshots' });
export type PaginatedSnapshots = Static<typeof PaginatedSnapshots>;

export const SNAPSHOT_SORTS = ['name', 'state', 'lastUsedAt', 'createdAt'] as const;

export const ListSnapshotsQuery = Type.Object({
  page: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1 }),
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 100 }),
  /** Part of the name, case does not matter. */
  name: Type.Optional(Type.String({ maxLength: 1024 })),
  sourceSandboxId: Type.Optional(Type.String({ maxLength: 1024 })),
  sort: StringEnum(SNAPSHOT_SORTS, { default: 'lastUsedAt' }),
  order: StringEnum(['asc', 'desc'], { default: 'desc' }),
});
export type ListSnapshotsQuery = Static<typeof ListSnapshotsQuery>;
