import type { RunnerImageConfig, SandboxClass, SnapshotDto, SnapshotState } from '@paddock/contract';
import { buildReference, type BuildRequest } from '../images/index.ts';

/** What a snapshot was built from, as it is kept. */
export type BuildInfo = BuildRequest & { readonly createdAt: string };

/** A row of `snapshots`. */
export interface SnapshotRow {
  id: string;
  organization_id: string;
  general: boolean;
  name: string;
  /** Name in the runner's store; null until the registry was asked. */
  image: string | null;
  /** As the user wrote it; null for recipes, builds and sandboxes. */
  image_name: string | null;
  /** host/repository@digest */
  ref: string | null;
  build_info: BuildInfo | null;
  state: SnapshotState;
  error_reason: string | null;
  size_bytes: number | null;
  entrypoint: string[] | null;
  cpu: number;
  gpu: number;
  gpu_type: string | null;
  memory_gib: number;
  disk_gib: number;
  os_user: string | null;
  sandbox_class: string;
  region_ids: string[];
  source_sandbox_id: string | null;
  attempts: number;
  retry_at: Date | null;
  created_at: Date;
  updated_at: Date;
  last_used_at: Date | null;
}

/** What creating a sandbox takes from its snapshot. */
export interface UsableSnapshot {
  readonly id: string;
  readonly name: string;
  /** Name of the image in the runner's store. */
  readonly image: string;
  readonly entrypoint: readonly string[] | null;
  /** User its sandboxes run as unless the request names one; null: the image's own. */
  readonly osUser: string | null;
  /** The image's own user as a DTO shows it. */
  readonly imageUser: string;
  readonly cpu: number;
  readonly gpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
  readonly sandboxClass: SandboxClass;
}

/** wire: the user of the default images. */
export const DEFAULT_USER = 'daytona';

/** What a DTO shows where the request named no user. wire: the image's USER decides. */
export function shownUser(config: RunnerImageConfig | null): string {
  return config?.user || DEFAULT_USER;
}

const gib = (bytes: number) => Math.round((bytes / 1024 ** 3) * 1000) / 1000;

export function toDto(row: SnapshotRow): SnapshotDto {
  const build = row.build_info;
  return {
    id: row.id,
    organizationId: row.organization_id,
    general: row.general,
    name: row.name,
    imageName: row.image_name ?? (build ? buildReference(build) : (row.image ?? undefined)),
    state: row.state,
    size: row.size_bytes === null ? null : gib(row.size_bytes),
    entrypoint: row.entrypoint,
    cpu: row.cpu,
    gpu: row.gpu,
    ...(row.gpu_type === null ? {} : { gpuType: row.gpu_type }),
    mem: row.memory_gib,
    disk: row.disk_gib,
    errorReason: row.error_reason,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    ...(build ? { buildInfo: buildInfoDto(build, row.updated_at) } : {}),
    regionIds: row.region_ids,
    ...(row.ref === null ? {} : { ref: row.ref }),
    sourceSandboxId: row.source_sandbox_id,
    sandboxClass: row.sandbox_class as SandboxClass,
  };
}

export function buildInfoDto(build: BuildInfo, updatedAt: Date): NonNullable<SnapshotDto['buildInfo']> {
  return {
    dockerfileContent: build.dockerfile, contextHashes: [...build.contextHashes], createdAt: build.createdAt, updatedAt: updatedAt.toISOString(),
    snapshotRef: buildReference(build),
  };
}
