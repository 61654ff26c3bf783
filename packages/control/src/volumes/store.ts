import type { VolumeDriver, VolumeState } from '@paddock/contract';
import { plan } from '../db/index.ts';
import { COUNTED_STATES, MOVES, PENDING_STATES, type Trigger } from './states.ts';

export interface VolumeRow {
  id: string;
  organization_id: string;
  name: string;
  driver: VolumeDriver;
  state: VolumeState;
  error_reason: string | null;
  created_at: Date;
  updated_at: Date;
  last_used_at: Date | null;
}

const COLUMNS = 'id, organization_id, name, driver, state, error_reason, created_at, updated_at, last_used_at';
const quoted = (states: readonly VolumeState[]): string => states.map((state) => `'${state}'`).join(', ');

/** Creates of one organization wait for each other, so that its quota holds. @returns the quota */
export const lockQuota = (organizationId: string) => plan<{ volume_quota: number }>('volumes_lock_quota',
  'select volume_quota from organizations where id = $1 for no key update', [organizationId]);

export const volumeCount = (organizationId: string) => plan<{ total: number }>('volumes_count',
  `select count(*) as total from volumes where organization_id = $1 and state in (${quoted(COUNTED_STATES)})`, [organizationId]);

/** Fails with a unique violation of `volumes_name` when the name is taken. */
export const insertVolume = (id: string, organizationId: string, name: string, driver: VolumeDriver) => plan<VolumeRow>('volumes_insert', `
  insert into volumes (id, organization_id, name, driver, state) values ($1, $2, $3, $4, 'creating') returning ${COLUMNS}`, [id, organizationId, name, driver]);

/** wire: last used first. */
export const listVolumes = (organizationId: string, includeDeleted: boolean) => plan<VolumeRow>('volumes_list', `
  select ${COLUMNS} from volumes where organization_id = $1 and ($2 or state <> 'deleted')
  order by last_used_at desc nulls last, created_at desc, id`, [organizationId, includeDeleted]);

/** Of an organization, not deleted. */
export const volumeOf = (organizationId: string, id: string) => plan<VolumeRow>('volumes_of', `
  select ${COLUMNS} from volumes where organization_id = $1 and id = $2 and state <> 'deleted'`, [organizationId, id]);

/** One that is to be deleted no longer owns its name; it is found by it only while nobody else has taken it. */
export const volumeNamed = (organizationId: string, name: string) => plan<VolumeRow>('volumes_named', `
  select ${COLUMNS} from volumes where organization_id = $1 and name = $2 and state <> 'deleted'
  order by (state in ('pending_delete', 'deleting')), created_at desc limit 1`, [organizationId, name]);

/** By ids or names; an id is an id only in its canonical form. */
export const volumesReferred = (organizationId: string, ids: readonly string[], names: readonly string[]) => plan<VolumeRow>('volumes_referred', `
  select ${COLUMNS} from volumes where organization_id = $1 and (id = any($2::uuid[]) or name = any($3)) and state <> 'deleted'`, [organizationId, ids, names]);

export const volumeById = (id: string) => plan<VolumeRow>('volumes_by_id', `select ${COLUMNS} from volumes where id = $1`, [id]);

/** A create of a sandbox that took the row before is committed once this returns, and later ones see what comes of it. */
export const lockVolume = (organizationId: string, id: string) => plan<VolumeRow>('volumes_lock', `
  select ${COLUMNS} from volumes where organization_id = $1 and id = $2 and state <> 'deleted' for update`, [organizationId, id]);

/** Sandboxes of any organization; a volume is only ever in those of its own. @param goingToo also those that are being deleted */
export const sandboxesWith = (id: string, goingToo: boolean) => plan<{ name: string }>('volumes_sandboxes_with', `
  select name from sandboxes
  where volumes <> '[]' and volumes @> jsonb_build_array(jsonb_build_object('volumeId', $1::text)) and state <> 'destroyed' and ($2 or desired_state <> 'destroyed')
  order by created_at limit 3`, [id, goingToo]);

/** @returns no row when it has moved on meanwhile */
export const moveVolume = (id: string, trigger: Trigger, errorReason: string | null, name: string | null = null) => plan<VolumeRow>('volumes_move', `
  update volumes set state = $2, error_reason = $3, name = coalesce($4, name), updated_at = now()
  where id = $1 and state = any($5) returning ${COLUMNS}`, [id, MOVES[trigger].to, errorReason, name, MOVES[trigger].from]);

/** At most every ten seconds, as often as clients are told. */
export const recordVolumeUse = (ids: readonly string[]) => plan<VolumeRow>('volumes_use', `
  update volumes set last_used_at = now() where id = any($1::uuid[]) and (last_used_at is null or last_used_at < now() - interval '10 seconds')
  returning ${COLUMNS}`, [ids]);

export const pendingVolumes = plan<{ id: string }>('volumes_pending', `select id from volumes where state in (${quoted(PENDING_STATES)}) order by updated_at`);

/** Rows whose data should be on a runner. */
export const readyVolumes = plan<{ id: string }>('volumes_ready', `select id from volumes where state = 'ready'`);

/** Of these ids, those that have a row. */
export const knownVolumes = (ids: readonly string[]) => plan<{ id: string; deleted: boolean }>('volumes_known', `
  select id, state = 'deleted' as deleted from volumes where id = any($1::uuid[])`, [ids]);

/**
 * For statements that give volumes to a sandbox: as many rows as volumes can be had, held until the statement's end so that
 * none of them is deleted meanwhile. @param ids uuid[] @param organization uuid, both as SQL
 */
export const VOLUMES_READY = (ids: string, organization: string): string =>
  `select v.id from volumes v where v.id = any(${ids}::uuid[]) and v.organization_id = ${organization} and v.state = 'ready' order by v.id for share`;
