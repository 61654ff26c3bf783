import type { ListSnapshotsQuery, PaginatedSnapshots, RunnerImage, SandboxClass, SnapshotDto, SnapshotState } from '@paddock/contract';
import type { Database } from '../db/index.ts';
import { ownSnapshotCount, recordSnapshotUse, setImageState, snapshotByReference, snapshotCount, snapshotPage, type SnapshotRow } from './store.ts';

/** What creating a sandbox takes from its snapshot. */
export interface UsableSnapshot {
  readonly id: string;
  readonly name: string;
  /** Name of the image in the runner's store. */
  readonly image: string;
  readonly entrypoint: readonly string[] | null;
  readonly cpu: number;
  readonly gpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
  readonly sandboxClass: SandboxClass;
}

export type SnapshotForCreate = { readonly snapshot: UsableSnapshot } | { readonly problem: string; readonly status: 400 };

export interface SnapshotChange {
  readonly organizationId: string;
  readonly snapshot: SnapshotDto;
  readonly oldState: SnapshotState;
  readonly newState: SnapshotState;
}

const IMAGE_STATES: Readonly<Record<RunnerImage['state'], SnapshotState>> = { ready: 'active', preparing: 'pulling', failed: 'error' };

export class Snapshots {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  async list(organizationId: string, query: ListSnapshotsQuery): Promise<PaginatedSnapshots> {
    const rows = await this.#db.query(snapshotPage(organizationId, query));
    const total = rows[0]?.total ?? (query.page === 1 ? 0 : ((await this.#db.one(snapshotCount(organizationId, query)))?.total ?? 0));
    return { items: rows.map(toDto), total, page: query.page, totalPages: Math.ceil(total / query.limit) };
  }

  async get(organizationId: string, idOrName: string): Promise<SnapshotDto | null> {
    const row = await this.#db.one(snapshotByReference(organizationId, idOrName));
    return row && toDto(row);
  }

  /** wire: an unknown snapshot is the caller's mistake (400), as is one that is not active or not in the region. */
  async findForCreate(organizationId: string, idOrName: string, regionId: string): Promise<SnapshotForCreate> {
    const row = await this.#db.one(snapshotByReference(organizationId, idOrName));
    if (!row) return { status: 400, problem: `Snapshot ${idOrName} not found. Did you add it through the Daytona Dashboard?` };
    if (!row.region_ids.includes(regionId)) return { status: 400, problem: `Snapshot ${idOrName} is not available in region ${regionId}` };
    if (row.state !== 'active') return { status: 400, problem: `Snapshot ${idOrName} is ${row.state}${row.error_reason ? `: ${row.error_reason}` : ''}` };
    return { snapshot: toUsable(row) };
  }

  /** Writes that a sandbox was made of it, at most every ten seconds. */
  async recordUse(id: string): Promise<void> {
    await this.#db.run(recordSnapshotUse(id));
  }

  /** Makes every snapshot of an image follow what the runner says about the image. @returns what changed, for events */
  async setImageState(image: RunnerImage): Promise<SnapshotChange[]> {
    const reason = image.state === 'failed' ? (image.reason ?? 'The image could not be prepared') : null;
    const rows = await this.#db.query(setImageState(image.name, IMAGE_STATES[image.state], reason, image.sizeBytes));
    return rows.map((row) => ({ organizationId: row.organization_id, snapshot: toDto(row), oldState: row.old_state, newState: row.state }));
  }

  async countOwn(organizationId: string): Promise<number> {
    return (await this.#db.one(ownSnapshotCount(organizationId)))?.total ?? 0;
  }
}

function toUsable(row: SnapshotRow): UsableSnapshot {
  return {
    id: row.id, name: row.name, image: row.image, entrypoint: row.entrypoint, cpu: row.cpu, gpu: row.gpu, memoryGiB: row.memory_gib,
    diskGiB: row.disk_gib, sandboxClass: row.sandbox_class as SandboxClass,
  };
}

function toDto(row: SnapshotRow): SnapshotDto {
  return {
    id: row.id,
    organizationId: row.organization_id,
    general: row.general,
    name: row.name,
    imageName: row.image,
    state: row.state,
    size: row.size_bytes === null ? null : Math.round((row.size_bytes / 1024 ** 3) * 1000) / 1000,
    entrypoint: row.entrypoint,
    cpu: row.cpu,
    gpu: row.gpu,
    mem: row.memory_gib,
    disk: row.disk_gib,
    errorReason: row.error_reason,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    regionIds: row.region_ids,
    sourceSandboxId: row.source_sandbox_id,
    sandboxClass: row.sandbox_class as SandboxClass,
  };
}
