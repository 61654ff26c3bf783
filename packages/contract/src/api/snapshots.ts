import { Type, type Static } from 'typebox';
import { Nullable, SANDBOX_CLASSES, StringEnum, Timestamp } from './common.ts';

export const SNAPSHOT_STATES = ['building', 'pending', 'pulling', 'snapshotting', 'active', 'inactive', 'error', 'build_failed', 'removing'] as const;
export type SnapshotState = (typeof SNAPSHOT_STATES)[number];

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
  mem: Type.Integer(),
  disk: Type.Integer(),
  errorReason: Nullable(Type.String()),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  lastUsedAt: Nullable(Timestamp),
  regionIds: Type.Optional(Type.Array(Type.String())),
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
