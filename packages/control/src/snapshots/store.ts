import type { ListSnapshotsQuery, SnapshotState } from '@paddock/contract';
import { plan, unnamedPlan, type Plan } from '../db/index.ts';

export interface SnapshotRow {
  id: string;
  organization_id: string;
  general: boolean;
  name: string;
  image: string;
  state: SnapshotState;
  error_reason: string | null;
  size_bytes: number | null;
  entrypoint: string[] | null;
  cpu: number;
  gpu: number;
  memory_gib: number;
  disk_gib: number;
  sandbox_class: string;
  region_ids: string[];
  source_sandbox_id: string | null;
  created_at: Date;
  updated_at: Date;
  last_used_at: Date | null;
}

const COLUMNS = `id, organization_id, general, name, image, state, error_reason, size_bytes, entrypoint, cpu, gpu, memory_gib, disk_gib,
  sandbox_class, region_ids, source_sandbox_id, created_at, updated_at, last_used_at`;

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

/** Own snapshots only: the general ones count against nobody. */
export const ownSnapshotCount = (organizationId: string) => plan<{ total: number }>('snapshots_own_count',
  'SELECT count(*) AS total FROM snapshots WHERE organization_id = $1 AND NOT general', [organizationId]);

/** @returns only rows that change: the state they had comes back as old_state */
export const setImageState = (image: string, state: SnapshotState, reason: string | null, sizeBytes: number | null) => plan<SnapshotRow & { old_state: SnapshotState }>('snapshots_image_state', `
  WITH old AS (SELECT id AS old_id, state AS old_state FROM snapshots WHERE image = $1 AND state IN ('pending', 'pulling', 'active', 'error') FOR UPDATE)
  UPDATE snapshots SET state = $2, error_reason = $3, size_bytes = coalesce($4, size_bytes), updated_at = now()
  FROM old
  WHERE id = old.old_id AND (state, error_reason) IS DISTINCT FROM ($2, $3)
  RETURNING ${COLUMNS}, old_state`, [image, state, reason, sizeBytes]);

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
  ON CONFLICT (organization_id, name) DO UPDATE SET region_ids = array_append(snapshots.region_ids, $2::text)
  WHERE NOT $2::text = ANY (snapshots.region_ids)`,
[organizationId, regionId, snapshot.name, snapshot.image, snapshot.cpu, snapshot.memoryGiB, snapshot.diskGiB]);
