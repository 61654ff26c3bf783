import { randomUUID } from 'node:crypto';
import type { VolumeDriver, VolumeDto, VolumeMount, VolumeState } from '@paddock/contract';
import { uniqueViolation, type Database, type Queryable } from '../db/index.ts';
import type { Announcement, Announcer } from '../events/index.ts';
import { displayTextProblem } from '../http/display-text.ts';
import { ApiError, StatusError, ValidationError } from '../http/index.ts';
import type { Organizations } from '../organizations/index.ts';
import type { RequestedMount } from './mounts.ts';
import { canMove, deletedName, type Trigger } from './states.ts';
import {
  insertVolume, listVolumes, lockQuota, lockVolume, moveVolume, recordVolumeUse, sandboxesWith, volumeCount, volumeNamed, volumeOf, volumesReferred, type VolumeRow,
} from './store.ts';

export interface VolumesDeps {
  readonly db: Database;
  readonly announcer: Announcer;
  readonly organizations: Pick<Organizations, 'rules'>;
  /** Of new volumes. */
  readonly driver: VolumeDriver;
  /** Does what a pending row wants and returns when that is settled or must wait. */
  readonly drive: (id: string) => Promise<void>;
}

/** What requests do with volumes. Decides and commits; the keeper acts. */
export class Volumes {
  readonly #deps: VolumesDeps;

  constructor(deps: VolumesDeps) {
    this.#deps = deps;
  }

  async list(organizationId: string, includeDeleted: boolean): Promise<VolumeDto[]> {
    return (await this.#deps.db.query(listVolumes(organizationId, includeDeleted))).map(toDto);
  }

  async get(organizationId: string, id: string): Promise<VolumeDto> {
    const row = isUuid(id) ? await this.#deps.db.one(volumeOf(organizationId, id)) : null;
    if (!row) throw new ApiError('VOLUME_NOT_FOUND', { id });
    return toDto(row);
  }

  async getByName(organizationId: string, name: string): Promise<VolumeDto> {
    const row = await this.#deps.db.one(volumeNamed(organizationId, name));
    if (!row) throw new ApiError('VOLUME_NAME_NOT_FOUND', { name });
    return toDto(row);
  }

  /** wire: what does not wait for `ready` would use it at once, so it is ready when this returns, unless the runner is away. */
  async create(organizationId: string, wanted: string | null): Promise<VolumeDto> {
    const id = randomUUID();
    const name = wanted ?? id;
    const problem = displayTextProblem(name);
    if (problem) throw new ValidationError([`name ${problem}`]);
    const rules = await this.#deps.organizations.rules(organizationId);
    if (!rules) throw new ApiError('WRONG_CONTEXT');
    if (rules.suspension) throw new StatusError(403, rules.suspension);
    await this.#insert(id, organizationId, name);
    await this.#deps.drive(id);
    return this.get(organizationId, id);
  }

  /** wire: 200 at once, the data goes in the background; refused while a sandbox that is not being deleted has it. */
  async delete(organizationId: string, id: string): Promise<void> {
    if (!isUuid(id)) throw new ApiError('VOLUME_NOT_FOUND', { id });
    await this.#announced(async (tx) => {
      const row = await tx.one(lockVolume(organizationId, id));
      if (!row) throw new ApiError('VOLUME_NOT_FOUND', { id });
      if (!canMove('delete', row.state)) throw new StatusError(400, `Volume must be in the state ready or error to be deleted; it is ${row.state}`);
      const sandboxes = await tx.query(sandboxesWith(row.id, false));
      if (sandboxes.length > 0) throw new StatusError(409, `Volume is in use by one or more sandboxes, such as ${sandboxes.map(({ name }) => name).join(', ')}`);
      return [await moved(this.#deps.announcer, tx, row, 'delete')];
    });
    void this.#deps.drive(id);
  }

  /**
   * Looks up the volumes of a create, as they will be stored with the sandbox.
   * wire: an unknown one is 404, one that is not ready or whose name is another one's id is 400.
   */
  async resolve(organizationId: string, requested: readonly RequestedMount[]): Promise<readonly VolumeMount[]> {
    if (requested.length === 0) return [];
    const references = requested.map(({ reference }) => reference);
    const rows = await this.#deps.db.query(volumesReferred(organizationId, references.filter(isUuid), references));
    return requested.map(({ reference, mountPath, subpath }) => {
      const row = chosen(rows, reference);
      if (row.state !== 'ready') throw notReady(row.name, row.state);
      return { volumeId: row.id, driver: row.driver, mountPath, subpath };
    });
  }

  /** A sandbox with them was created or started. */
  async recordUse(mounts: readonly VolumeMount[]): Promise<void> {
    if (mounts.length === 0) return;
    await this.#announced(async (tx) => {
      const rows = await tx.query(recordVolumeUse([...new Set(mounts.map(({ volumeId }) => volumeId))]));
      return Promise.all(rows.map((row) => this.#deps.announcer.write(tx, row.organization_id, 'volume.lastUsedAt.updated', row.id, toDto(row))));
    });
  }

  async count(organizationId: string): Promise<number> {
    return (await this.#deps.db.one(volumeCount(organizationId)))?.total ?? 0;
  }

  async #insert(id: string, organizationId: string, name: string): Promise<void> {
    const { announcer, driver } = this.#deps;
    try {
      await this.#announced(async (tx) => {
        const quota = (await tx.one(lockQuota(organizationId)))?.volume_quota ?? 0;
        const total = (await tx.one(volumeCount(organizationId)))?.total ?? 0;
        if (total >= quota) throw new StatusError(400, `Volume quota exceeded. Maximum allowed: ${quota}\nDelete volumes that are no longer needed, or use one volume with a subpath for each purpose.`);
        const row = await tx.one(insertVolume(id, organizationId, name, driver));
        return [await announcer.write(tx, organizationId, 'volume.created', id, toDto(row!))];
      });
    } catch (error) {
      if (uniqueViolation(error) === 'volumes_name') throw new StatusError(400, `Volume with name ${name} already exists`);
      throw error;
    }
  }

  async #announced(work: (tx: Queryable) => Promise<readonly Announcement[]>): Promise<void> {
    const { db, announcer } = this.#deps;
    announcer.publish(await db.tx(work));
  }
}

/** The refusal of a create whose volume was deleted between looking it up and writing the sandbox. */
export function notReady(name: string, state: VolumeState | 'gone'): StatusError {
  return new StatusError(400, `Volume ${name} is not ready: it is ${state}`);
}

/** Moves a row and writes the event that tells of it. */
export async function moved(announcer: Announcer, tx: Queryable, row: VolumeRow, trigger: Trigger, errorReason: string | null = null): Promise<Announcement> {
  const after = await tx.one(moveVolume(row.id, trigger, errorReason, trigger === 'removed' ? deletedName(row.name) : null));
  if (!after) throw new StatusError(409, 'Volume was modified by another operation');
  return announcer.write(tx, row.organization_id, 'volume.state.updated', row.id, { volume: toDto(after), oldState: row.state, newState: after.state });
}

function chosen(rows: readonly VolumeRow[], reference: string): VolumeRow {
  const id = reference.toLowerCase();
  const byId = rows.find((row) => row.id === id);
  const named = rows.filter((row) => row.name === reference);
  const byName = named.find(({ state }) => state !== 'pending_delete' && state !== 'deleting') ?? named[0];
  if (byId && byName && byId !== byName) throw new StatusError(400, `Volume reference ${reference} is ambiguous: it is the id of one volume and the name of another`);
  const row = byId ?? byName;
  if (!row) throw new ApiError(isUuid(reference) ? 'VOLUME_NOT_FOUND' : 'VOLUME_NAME_NOT_FOUND', { id: reference, name: reference });
  return row;
}

function toDto(row: VolumeRow): VolumeDto {
  return {
    id: row.id, name: row.name, organizationId: row.organization_id, state: row.state, errorReason: row.error_reason,
    createdAt: row.created_at.toISOString(), updatedAt: row.updated_at.toISOString(), lastUsedAt: row.last_used_at?.toISOString() ?? null,
  };
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text);
}
