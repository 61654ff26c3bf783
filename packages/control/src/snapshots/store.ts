import type { ListSnapshotsQuery, RunnerImageConfig, SnapshotState } from '@paddock/contract';
import { plan, unnamedPlan, type Plan } from '../db/index.ts';
import type { SnapshotRow } from './snapshot.ts';
import { COUNTED, FOLLOWING } from './states.ts';

const NAMES = [
  'id', 'organization_id', 'general', 'name', 'image', 'image_name', 'ref', 'build_info', 'state', 'error_reason', 'size_bytes', 'entrypoint', 'cpu', 'gpu', 'gpu_type',
  'memory_gib', 'disk_gib', 'os_user', 'sandbox_class', 'region_ids', 'source_sandbox_id', 'attempts', 'retry_at', 'created_at', 'updated_at', 'last_used_at',
];
const COLUMNS = NAMES.join(', ');
const OF_S = NAMES.map((name) => `s.${name}`).join(', ');

/** wire: by id or name, one's own before a general one. A name may look like an id, so an id match goes first. */
export const snapshotByReference = (organizationId: string, reference: string) => plan<SnapshotRow>('snapshots_by_reference', `
  SELECT ${COLUMNS} FROM snapshots
  WHERE (organization_id = $1 OR general) AND (id = CASE WHEN $2 ~ '^[0-9a-fA-F-]{36}$' AND pg_input_is_valid($2, 'uuid') THEN $2::uuid END OR name = $2)
  ORDER BY (name <> $2) DESC, (organization_id = $1) DESC LIMIT 1`, [organizationId, reference]);

const SORT_COLUMNS: Readonly<Record<ListSnapshotsQuery['sort'], string>> = {
  name: 'name', state: 'state', lastUsedAt: 'last_used_at', createdAt: 'created_at',
};

/** wire: general snapshots come last whatever the sort; hidden ones never. */
export function snapshotPage(organizationId: string, query: ListSnapshotsQuery): Plan<SnapshotRow & { total: number }> {
  const { where, values } = filter(organizationId, query);
  const direction = query.order === 'asc' ? 'ASC' : 'DESC';
  values.push(query.limit, (query.page - 1) * query.limit);
  return unnamedPlan(`
    SELECT ${COLUMNS}, count(*) OVER () AS total FROM snapshots WHERE ${where}
    ORDER BY general, ${SORT_COLUMNS[query.sort]} ${direction} NULLS LAST, created_at DESC, id
    LIMIT $${values.length - 1} OFFSET $${values.length}`, values);
}

export function snapshotCount(organizationId: string, query: ListSnapshotsQuery): Plan<{ total: number }> {
  const { where, values } = filter(organizationId, query);
  return unnamedPlan(`SELECT count(*) AS total FROM snapshots WHERE ${where}`, values);
}

function filter(organizationId: string, query: ListSnapshotsQuery): { where: string; values: unknown[] } {
  const values: unknown[] = [organizationId];
  const conditions = ['(organization_id = $1 OR general)', 'NOT hide_from_users'];
  if (query.name !== undefined) conditions.push(`position(lower($${values.push(query.name)}) in lower(name)) > 0`);
  if (query.sourceSandboxId !== undefined) conditions.push(`source_sandbox_id = $${values.push(query.sourceSandboxId)}`);
  return { where: conditions.join(' AND '), values };
}

/** wire: own snapshots only, and none that failed or sleeps; the general ones count against nobody. */
export const ownSnapshotCount = (organizationId: string) => plan<{ total: number }>('snapshots_own_count',
  'SELECT count(*) AS total FROM snapshots WHERE organization_id = $1 AND NOT general AND state = ANY ($2)', [organizationId, COUNTED]);

/** Whoever holds it counts and inserts alone in the organization. */
export const lockQuota = (organizationId: string) => plan('snapshots_lock_quota',
  `SELECT pg_advisory_xact_lock(hashtextextended('snapshots ' || $1, 0))`, [organizationId]);

/** What is needed of a snapshot to make a sandbox, with its image's configuration. */
export const snapshotForCreate = (organizationId: string, reference: string) => plan<SnapshotRow & { image_config: RunnerImageConfig | null }>('snapshots_for_create', `
  SELECT ${OF_S}, i.config AS image_config
  FROM snapshots s LEFT JOIN images i ON i.name = s.image
  WHERE (s.organization_id = $1 OR s.general) AND (s.id = CASE WHEN $2 ~ '^[0-9a-fA-F-]{36}$' AND pg_input_is_valid($2, 'uuid') THEN $2::uuid END OR s.name = $2)
  ORDER BY (s.name <> $2) DESC, (s.organization_id = $1) DESC LIMIT 1`, [organizationId, reference]);

export const snapshotById = (id: string) => plan<SnapshotRow>('snapshots_by_id', `SELECT ${COLUMNS} FROM snapshots WHERE id = $1`, [id]);

export type NewSnapshot = Omit<SnapshotRow, 'general' | 'attempts' | 'retry_at' | 'created_at' | 'updated_at' | 'last_used_at'>;

export const insertSnapshot = (row: NewSnapshot) => plan<SnapshotRow>('snapshots_insert', `
  INSERT INTO snapshots (id, organization_id, name, image, image_name, ref, build_info, state, size_bytes, entrypoint, cpu, gpu, gpu_type, memory_gib, disk_gib,
    os_user, sandbox_class, region_ids, source_sandbox_id, error_reason)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
  ON CONFLICT (organization_id, name) DO NOTHING RETURNING ${COLUMNS}`,
[row.id, row.organization_id, row.name, row.image, row.image_name, row.ref, row.build_info && JSON.stringify(row.build_info), row.state, row.size_bytes, row.entrypoint,
  row.cpu, row.gpu, row.gpu_type, row.memory_gib, row.disk_gib, row.os_user, row.sandbox_class, row.region_ids, row.source_sandbox_id, row.error_reason]);

/** Columns that change with a move. */
export interface SnapshotPatch {
  readonly image: string | null;
  readonly ref: string | null;
  readonly errorReason: string | null;
  readonly sizeBytes: number | null;
  readonly entrypoint: readonly string[] | null;
  readonly attempts: number;
  readonly retryAt: Date | null;
}

/** @returns nothing when the row is in none of the states it may change from */
export const changeSnapshot = (row: SnapshotRow, from: readonly SnapshotState[], state: SnapshotState, patch: Partial<SnapshotPatch>) => {
  const next: SnapshotPatch = {
    image: row.image, ref: row.ref, errorReason: row.error_reason, sizeBytes: row.size_bytes, entrypoint: row.entrypoint, attempts: row.attempts, retryAt: row.retry_at,
    ...patch,
  };
  return plan<SnapshotRow>('snapshots_change', `
    UPDATE snapshots SET state = $3, image = $4, ref = $5, error_reason = $6, size_bytes = $7, entrypoint = $8, attempts = $9, retry_at = $10, updated_at = now()
    WHERE id = $1 AND state = ANY ($2) RETURNING ${COLUMNS}`,
  [row.id, from, state, next.image, next.ref, next.errorReason, next.sizeBytes, next.entrypoint, next.attempts, next.retryAt]);
};

/** Locked until the image's own change is committed, in an order that all use. */
export const snapshotsOfImage = (image: string) => plan<SnapshotRow & { max_snapshot_size_gib: number }>('snapshots_of_image', `
  SELECT ${OF_S}, o.max_snapshot_size_gib
  FROM snapshots s JOIN organizations o ON o.id = s.organization_id
  WHERE s.image = $1 AND s.state = ANY ($2) ORDER BY s.id FOR UPDATE OF s`, [image, FOLLOWING]);

/** Those that are looked up in a registry, or are to be removed. */
export const unfinishedSnapshots = plan<{ id: string }>('snapshots_unfinished', `SELECT id FROM snapshots WHERE (state = 'pending' AND image IS NULL) OR state = 'removing'`);

export const deleteSnapshot = (id: string) => plan<SnapshotRow>('snapshots_delete', `DELETE FROM snapshots WHERE id = $1 AND state = 'removing' RETURNING ${COLUMNS}`, [id]);

export const setGeneral = (id: string, general: boolean) => plan<SnapshotRow>('snapshots_general', `
  UPDATE snapshots SET general = $2, updated_at = now() WHERE id = $1 AND state <> 'removing' RETURNING ${COLUMNS}`, [id, general]);

/** wire: active, not general, neither used nor made within the organization's limit (two weeks). */
export const unusedSnapshots = (now: Date, limit: number) => plan<SnapshotRow>('snapshots_unused', `
  SELECT ${OF_S}
  FROM snapshots s JOIN organizations o ON o.id = s.organization_id
  WHERE s.state = 'active' AND NOT s.general AND o.snapshot_deactivation_timeout_minutes > 0
    AND greatest(s.created_at, s.last_used_at) < $1::timestamptz - o.snapshot_deactivation_timeout_minutes * interval '1 minute'
  ORDER BY s.last_used_at NULLS FIRST LIMIT $2`, [now, limit]);

/** wire: nothing is made of the image, by whatever name it is called. */
export const imageIsUsed = (image: string) => plan<{ used: boolean }>('snapshots_image_used', `
  SELECT EXISTS (SELECT 1 FROM snapshots WHERE state <> 'removing' AND $1 IN (image, image_name, ref))
    OR EXISTS (SELECT 1 FROM sandboxes WHERE state <> 'destroyed' AND image = $1) AS used`, [image]);

export const recordSnapshotUse = (id: string) => plan('snapshots_use', `
  UPDATE snapshots SET last_used_at = now() WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '10 seconds')`, [id]);

export interface GeneralSnapshot {
  readonly name: string;
  readonly image: string;
  readonly cpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
}

export const ensureGeneralSnapshot = (organizationId: string, regionId: string, snapshot: GeneralSnapshot) => plan('snapshots_ensure', `
  INSERT INTO snapshots (id, organization_id, general, name, image, state, cpu, memory_gib, disk_gib, region_ids)
  VALUES (gen_random_uuid(), $1, true, $3, $4, 'pending', $5, $6, $7, ARRAY[$2::text])
  ON CONFLICT (organization_id, name) DO UPDATE SET
    region_ids = CASE WHEN $2::text = ANY (snapshots.region_ids) THEN snapshots.region_ids ELSE array_append(snapshots.region_ids, $2::text) END,
    state = CASE WHEN snapshots.image = $4 THEN snapshots.state ELSE 'pending' END, image = $4
  WHERE snapshots.general AND (NOT $2::text = ANY (snapshots.region_ids) OR snapshots.image IS DISTINCT FROM $4)`,
[organizationId, regionId, snapshot.name, snapshot.image, snapshot.cpu, snapshot.memoryGiB, snapshot.diskGiB]);
