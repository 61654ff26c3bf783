import { randomUUID } from 'node:crypto';
import type { ListSnapshotsQuery, PaginatedSnapshots, SandboxClass, SnapshotDto, SnapshotState } from '@paddock/contract';
import type { Database, Queryable } from '../db/index.ts';
import type { Announcement, Announcer } from '../events/index.ts';
import { ApiError, StatusError } from '../http/index.ts';
import { entrypointOf, runnableEntrypoint, startedEntrypoint, type Image, type Images } from '../images/index.ts';
import { LIMIT_HELP, overPerSandboxLimit, type OrganizationRules } from '../organizations/index.ts';
import type { Regions } from '../regions/index.ts';
import { snapshotNameProblems, type SnapshotRequest } from './create-request.ts';
import { shownUser, toDto, type SnapshotRow, type UsableSnapshot } from './snapshot.ts';
import { stateOfImage, SNAPSHOT_MOVES, type SnapshotTrigger } from './states.ts';
import {
  changeSnapshot, deleteSnapshot, imageIsUsed, insertSnapshot, lockQuota, ownSnapshotCount, recordSnapshotUse, setGeneral, snapshotById, snapshotByReference,
  snapshotCount, snapshotForCreate, snapshotPage, snapshotsOfImage, unusedSnapshots, type NewSnapshot, type SnapshotPatch,
} from './store.ts';

export type SnapshotForCreate = { readonly snapshot: UsableSnapshot } | { readonly problem: string; readonly status: 400 };

/** A sandbox that a snapshot is to be made of. */
export interface SnapshotSource {
  readonly organizationId: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly regionId: string;
  readonly cpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
  /** User that the new snapshot's sandboxes run as: the one that was asked for when the sandbox was made; null: the image's own. */
  readonly osUser: string | null;
  readonly entrypoint: readonly string[] | null;
}

export interface SnapshotDeps {
  readonly db: Database;
  readonly images: Images;
  readonly announcer: Announcer;
  readonly regions: Regions;
  readonly rules: (organizationId: string) => Promise<OrganizationRules | null>;
}

/** What sandboxes are made of, as clients see it. Decides and commits; images and registries are others' work. */
export class Snapshots {
  readonly #deps: SnapshotDeps;
  #wake: (id: string) => void = () => {};
  #removed: (row: SnapshotRow) => void = () => {};

  constructor(deps: SnapshotDeps) {
    this.#deps = deps;
    deps.images.useFollower((tx, image) => this.#follow(tx, image));
  }

  /** Whoever looks up in registries what snapshots stand for. */
  usePuller(wake: (id: string) => void): void {
    this.#wake = wake;
  }

  /** After the commit that removed a snapshot. */
  onRemoved(listener: (row: SnapshotRow) => void): void {
    this.#removed = listener;
  }

  async list(organizationId: string, query: ListSnapshotsQuery): Promise<PaginatedSnapshots> {
    const { db } = this.#deps;
    const rows = await db.query(snapshotPage(organizationId, query));
    const total = rows[0]?.total ?? (query.page === 1 ? 0 : ((await db.one(snapshotCount(organizationId, query)))?.total ?? 0));
    return { items: rows.map(toDto), total, page: query.page, totalPages: Math.ceil(total / query.limit) };
  }

  async get(organizationId: string, idOrName: string): Promise<SnapshotDto> {
    return toDto(await this.find(organizationId, idOrName));
  }

  async find(organizationId: string, idOrName: string): Promise<SnapshotRow> {
    const row = await this.#deps.db.one(snapshotByReference(organizationId, idOrName));
    if (!row) throw new ApiError('SNAPSHOT_NOT_FOUND', { id: idOrName });
    return row;
  }

  byId(id: string): Promise<SnapshotRow | null> {
    return this.#deps.db.one(snapshotById(id));
  }

  /** wire: an unknown snapshot is the caller's mistake (400), as is one that is not active or not in the region. */
  async findForCreate(organizationId: string, idOrName: string, regionId: string): Promise<SnapshotForCreate> {
    const row = await this.#deps.db.one(snapshotForCreate(organizationId, idOrName));
    if (!row) return { status: 400, problem: `Snapshot ${idOrName} not found. Did you add it through the Daytona Dashboard?` };
    if (!row.region_ids.includes(regionId)) return { status: 400, problem: `Snapshot ${idOrName} is not available in region ${regionId}` };
    if (row.state !== 'active' || row.image === null) return { status: 400, problem: `Snapshot ${idOrName} is ${row.state}${row.error_reason ? `: ${row.error_reason}` : ''}` };
    const entrypoint = row.build_info ? startedEntrypoint(row.build_info.dockerfile) : runnableEntrypoint(row.entrypoint ?? row.image_config?.entrypoint ?? null);
    return {
      snapshot: {
        id: row.id, name: row.name, image: row.image, entrypoint, osUser: row.os_user, imageUser: shownUser(row.image_config), cpu: row.cpu,
        gpu: row.gpu, memoryGiB: row.memory_gib, diskGiB: row.disk_gib, sandboxClass: row.sandbox_class as SandboxClass,
      },
    };
  }

  /** Writes that a sandbox was made of it, at most every ten seconds. */
  async recordUse(id: string): Promise<void> {
    await this.#deps.db.run(recordSnapshotUse(id));
  }

  async countOwn(organizationId: string): Promise<number> {
    return (await this.#deps.db.one(ownSnapshotCount(organizationId)))?.total ?? 0;
  }

  /** wire: region, class, suspension, per-sandbox limits, name, quota, in this order. */
  async create(organizationId: string, request: SnapshotRequest): Promise<SnapshotDto> {
    const rules = await this.#rules(organizationId);
    const regionId = await this.#region(organizationId, rules, request.regionId);
    refuseWithoutRunner(request);
    if (rules.suspension) throw new StatusError(403, rules.suspension);
    const over = overPerSandboxLimit(request, rules);
    if (over) throw new StatusError(400, over);
    const { origin } = request;
    const base = {
      id: randomUUID(), organization_id: organizationId, name: request.name, cpu: request.cpu, gpu: 0, gpu_type: null, memory_gib: request.memoryGiB,
      disk_gib: request.diskGiB, os_user: null, sandbox_class: request.sandboxClass, region_ids: [regionId], source_sandbox_id: null, ref: null, error_reason: null,
    };
    if (origin.kind === 'image') {
      const row = await this.#insert(rules, async () => ({
        ...base, image: null, image_name: origin.imageName, build_info: null, state: 'pending', size_bytes: null, entrypoint: origin.entrypoint && [...origin.entrypoint],
      }));
      this.#wake(row.id);
      return toDto(row);
    }
    const { build } = origin;
    const row = await this.#insert(rules, async (tx) => {
      const image = await this.#deps.images.wantBuild(tx, organizationId, build);
      const { state, errorReason } = standing(image, 'pending', rules.maxSnapshotSizeGiB);
      return {
        ...base, state, error_reason: errorReason, image: image.name, image_name: null, build_info: { ...build, createdAt: new Date().toISOString() }, size_bytes: image.sizeBytes,
        entrypoint: entrypointOf(build.dockerfile),
      };
    });
    this.#deps.images.wake(row.image!);
    return toDto(row);
  }

  /** The row is there at once, as `snapshotting`. @returns it, and the name of the image that will tell of the outcome */
  async createFromSandbox(source: SnapshotSource): Promise<{ readonly snapshot: SnapshotDto; readonly image: string }> {
    const problems = snapshotNameProblems(source.name);
    if (problems.length > 0) throw new StatusError(400, problems.join(', '));
    const { organizationId } = source;
    const rules = await this.#rules(organizationId);
    if (rules.suspension) throw new StatusError(403, rules.suspension);
    const row = await this.#insert(rules, async (tx) => {
      const image = await this.#deps.images.wantFromSandbox(tx, organizationId, source.sandboxId);
      return {
        id: randomUUID(), organization_id: organizationId, name: source.name, image: image.name, image_name: null, ref: null, build_info: null, state: 'snapshotting', error_reason: null,
        size_bytes: null, entrypoint: source.entrypoint && [...source.entrypoint], cpu: source.cpu, gpu: 0, gpu_type: null, memory_gib: source.memoryGiB,
        disk_gib: source.diskGiB, os_user: source.osUser, sandbox_class: 'container', region_ids: [source.regionId], source_sandbox_id: source.sandboxId,
      };
    });
    this.#deps.images.wake(row.image!);
    return { snapshot: toDto(row), image: row.image! };
  }

  /** wire: only from inactive; it is looked up, pulled or built again; counts against the quota. What was kept, here or in the registry, is taken as it is. */
  async activate(organizationId: string, idOrName: string): Promise<SnapshotDto> {
    const row = await this.#own(organizationId, idOrName);
    if (row.state === 'active') throw new StatusError(400, `Snapshot ${row.name} is already active`);
    if (row.state !== 'inactive') throw new StatusError(400, `Snapshot ${row.name} cannot be activated - it is in ${row.state} state`);
    const rules = await this.#rules(row.organization_id);
    if (rules.suspension) throw new StatusError(403, rules.suspension);
    const image = row.image === null ? null : await this.#deps.images.get(row.image);
    const keeps = image !== null && (row.source_sandbox_id !== null || image.published !== null);
    const patch = { errorReason: null, attempts: 0, retryAt: null };
    const moved = await this.#commit(async (tx) => {
      await this.#refuseOverQuota(tx, rules);
      const kept = keeps ? await this.#deps.images.reuse(tx, image.name) : null;
      const pending = await this.#move(tx, row, 'activate', kept ? patch : { ...patch, image: null });
      if (!pending || !kept) return pending;
      const active = await this.#move(tx, pending.row, 'assigned', {}, stateOfImage(kept, 'pending'));
      return active && { row: active.row, announcements: [...pending.announcements, ...active.announcements] };
    });
    if (!moved) throw changedMeanwhile();
    this.#wake(moved.id);
    if (moved.image !== null) this.#deps.images.wake(moved.image);
    return toDto(moved);
  }

  /** wire: nothing happens to an inactive one; the image may go. */
  async deactivate(organizationId: string, idOrName: string): Promise<void> {
    const row = await this.#own(organizationId, idOrName);
    if (row.state === 'inactive') return;
    if (row.state !== 'active') throw new StatusError(400, `Snapshot ${row.name} cannot be deactivated - it is in ${row.state} state`);
    if (!(await this.#commit((tx) => this.#move(tx, row, 'deactivate', {})))) throw changedMeanwhile();
    this.#deps.images.collect();
  }

  /** wire: sandboxes made of it go on. Ends what is still being made of it. */
  async remove(organizationId: string, idOrName: string): Promise<void> {
    const row = await this.#own(organizationId, idOrName);
    if (row.state !== 'removing' && !(await this.#commit((tx) => this.#move(tx, row, 'remove', {})))) throw changedMeanwhile();
    await this.finishRemoval(row.id);
  }

  /** Second half of a removal; repeatable. The name is free afterwards. */
  async finishRemoval(id: string): Promise<void> {
    const removed = await this.#commit(async (tx) => {
      const row = await tx.one(deleteSnapshot(id));
      return row && { row, announcements: [await this.#deps.announcer.write(tx, row.organization_id, 'snapshot.removed', row.id, toDto(row))] };
    });
    this.#deps.images.collect();
    if (removed) this.#removed(removed);
  }

  /** For administrators: whose it is does not matter. */
  async setGeneral(id: string, general: boolean): Promise<SnapshotDto> {
    const row = isUuid(id) ? await this.#deps.db.one(setGeneral(id, general)) : null;
    if (!row) throw new ApiError('SNAPSHOT_NOT_FOUND', { id });
    return toDto(row);
  }

  async canCleanUpImage(imageName: string): Promise<boolean> {
    return !(await this.#deps.db.one(imageIsUsed(imageName)))?.used;
  }

  /** wire: what nobody used for two weeks sleeps. @returns how many were deactivated */
  async deactivateUnused(now: Date): Promise<number> {
    const rows = await this.#deps.db.query(unusedSnapshots(now, 100));
    for (const row of rows) await this.#commit((tx) => this.#move(tx, row, 'deactivate', {}));
    if (rows.length > 0) this.#deps.images.collect();
    return rows.length;
  }

  /** Makes a move of the table. @param state with a move whose end depends on the image @returns null when the row has moved on */
  async change(row: SnapshotRow, trigger: SnapshotTrigger, patch: Partial<SnapshotPatch>, state?: SnapshotState): Promise<SnapshotRow | null> {
    return this.#commit((tx) => this.#move(tx, row, trigger, patch, state));
  }

  /** As `change`, when what is written is only found in the transaction. */
  async assign(row: SnapshotRow, want: (tx: Queryable) => Promise<Image>, patch: Partial<SnapshotPatch>): Promise<SnapshotRow | null> {
    const { maxSnapshotSizeGiB } = await this.#rules(row.organization_id);
    const assigned = await this.#commit(async (tx) => {
      const image = await want(tx);
      const sizeBytes = image.sizeBytes ?? patch.sizeBytes ?? null;
      const { state, errorReason } = standing(image, 'pending', maxSnapshotSizeGiB);
      return this.#move(tx, row, 'assigned', { ...patch, image: image.name, sizeBytes, attempts: 0, retryAt: null, errorReason }, state);
    });
    if (assigned?.image) this.#deps.images.wake(assigned.image);
    return assigned;
  }

  async #follow(tx: Queryable, image: Image): Promise<Announcement[]> {
    const announcements: Announcement[] = [];
    for (const row of await tx.query(snapshotsOfImage(image.name))) {
      const { state, errorReason } = standing(image, row.state, row.max_snapshot_size_gib);
      const sizeBytes = image.sizeBytes ?? row.size_bytes;
      // wire: what was pulled shows the entrypoint that the image itself has.
      const entrypoint = row.entrypoint ?? (image.source.kind === 'registry' ? (image.config?.entrypoint ?? null) : null);
      if (row.state === state && row.error_reason === errorReason && row.size_bytes === sizeBytes) continue;
      const changed = await tx.one(changeSnapshot(row, [row.state], state, { errorReason, sizeBytes, entrypoint }));
      if (changed && changed.state !== row.state) announcements.push(await this.#told(tx, changed, row.state));
    }
    return announcements;
  }

  async #insert(rules: OrganizationRules, make: (tx: Queryable) => Promise<NewSnapshot>): Promise<SnapshotRow> {
    const { announcer } = this.#deps;
    const row = await this.#commit(async (tx) => {
      await this.#refuseOverQuota(tx, rules);
      const wanted = await make(tx);
      const inserted = await tx.one(insertSnapshot(wanted));
      if (!inserted) throw new StatusError(409, `Snapshot with name "${wanted.name}" already exists for this organization`);
      return { row: inserted, announcements: [await announcer.write(tx, inserted.organization_id, 'snapshot.created', inserted.id, toDto(inserted))] };
    });
    return row!;
  }

  /** Holds the organization's count until the transaction ends. */
  async #refuseOverQuota(tx: Queryable, rules: OrganizationRules): Promise<void> {
    await tx.run(lockQuota(rules.id));
    const total = (await tx.one(ownSnapshotCount(rules.id)))?.total ?? 0;
    if (total >= rules.snapshotQuota) throw new StatusError(400, `Snapshot quota exceeded. Maximum allowed: ${rules.snapshotQuota}${LIMIT_HELP}`);
  }

  async #move(tx: Queryable, row: SnapshotRow, trigger: SnapshotTrigger, patch: Partial<SnapshotPatch>, state?: SnapshotState): Promise<Told | null> {
    const { from, to } = SNAPSHOT_MOVES[trigger];
    const next = to === 'of image' ? state : to;
    if (next === undefined) throw new Error(`A move ${trigger} needs the state of the image`);
    const moved = await tx.one(changeSnapshot(row, from, next, patch));
    if (!moved) return null;
    return { row: moved, announcements: moved.state === row.state ? [] : [await this.#told(tx, moved, row.state)] };
  }

  #told(tx: Queryable, row: SnapshotRow, oldState: SnapshotState): Promise<Announcement> {
    return this.#deps.announcer.write(tx, row.organization_id, 'snapshot.state.updated', row.id, { snapshot: toDto(row), oldState, newState: row.state });
  }

  async #commit(work: (tx: Queryable) => Promise<Told | null>): Promise<SnapshotRow | null> {
    const told = await this.#deps.db.tx(work);
    if (told) this.#deps.announcer.publish(told.announcements);
    return told?.row ?? null;
  }

  /** wire: general snapshots are seen by all and changed by none. */
  async #own(organizationId: string, idOrName: string): Promise<SnapshotRow> {
    const row = await this.find(organizationId, idOrName);
    if (row.general) throw new StatusError(403, 'General snapshots cannot be changed or deleted');
    return row;
  }

  async #rules(organizationId: string): Promise<OrganizationRules> {
    const rules = await this.#deps.rules(organizationId);
    if (!rules) throw new ApiError('WRONG_CONTEXT');
    return rules;
  }

  async #region(organizationId: string, rules: OrganizationRules, wanted: string | null): Promise<string> {
    if (wanted === null) {
      if (rules.defaultRegionId) return rules.defaultRegionId;
      throw new StatusError(400, 'This organization does not have a default region. Please set a default region before creating a snapshot.');
    }
    const region = await this.#deps.regions.resolve(organizationId, wanted);
    if (!region) throw new ApiError('REGION_NOT_FOUND');
    return region.id;
  }
}

interface Told {
  readonly row: SnapshotRow;
  readonly announcements: readonly Announcement[];
}

/** This server's runners make containers without GPUs. */
function refuseWithoutRunner({ sandboxClass, gpu, gpuType }: SnapshotRequest): void {
  if (sandboxClass === 'windows') throw new StatusError(400, 'Snapshots of class windows cannot be created from images');
  if (gpu > 0 || gpuType !== null) throw new StatusError(400, `No available runners${gpuType === null ? ' with GPUs' : ` with GPU type: ${gpuType}`}`);
  if (sandboxClass !== 'container') throw new StatusError(400, `No available runners for sandboxes of class ${sandboxClass}`);
}

/** How a snapshot of the image stands: one that is there may still be too large for the organization. @param before see stateOfImage */
function standing(image: Image, before: SnapshotState, maxGiB: number): { readonly state: SnapshotState; readonly errorReason: string | null } {
  if (image.state === 'ready' && image.source.kind !== 'recipe' && (image.sizeBytes ?? 0) > maxGiB * 1024 ** 3) {
    return { state: 'error', errorReason: tooLargeReason(image.sizeBytes!, maxGiB) };
  }
  return { state: stateOfImage(image, before), errorReason: image.state === 'failed' ? (image.reason ?? 'The image could not be made') : null };
}

export function tooLargeReason(sizeBytes: number, maxGiB: number): string {
  return `Snapshot size (${(sizeBytes / 1024 ** 3).toFixed(2)}GB) exceeds maximum allowed size of ${maxGiB}GB`;
}

function changedMeanwhile(): StatusError {
  return new StatusError(409, 'Snapshot was modified by another operation');
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text);
}
