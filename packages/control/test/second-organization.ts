import { createHash } from 'node:crypto';
import { PERMISSIONS } from '@paddock/contract';
import pg from 'pg';

export interface SecondOrganization {
  readonly id: string;
  /** Holds every permission. */
  readonly key: string;
}

/** Another user with an organization and a key; no route makes one yet. */
export async function secondOrganization(databaseUrl: string, name = 'second'): Promise<SecondOrganization> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  try {
    await client.query('INSERT INTO users (id, name, email) VALUES ($1, $1, $1)', [name]);
    const { rows: [organization] } = await client.query<{ id: string }>(`
      INSERT INTO organizations (id, name, created_by, default_region_id, max_cpu_per_sandbox, max_memory_per_sandbox, max_disk_per_sandbox,
        snapshot_quota, volume_quota, secret_quota, max_secrets_per_sandbox, snapshot_deactivation_timeout_minutes)
      VALUES (gen_random_uuid(), $1, $1, 'us', 100, 100, 1000, 100, 100, 100, 20, 20160) RETURNING id`, [name]);
    await client.query("INSERT INTO organization_users (organization_id, user_id, role) VALUES ($1, $2, 'owner')", [organization!.id, name]);
    const key = `dtn_${createHash('sha256').update(name).digest('hex')}`;
    await client.query('INSERT INTO api_keys (organization_id, user_id, name, hash, prefix, suffix, permissions) VALUES ($1, $2, $3, $4, $5, $6, $7)',
      [organization!.id, name, 'key', createHash('sha256').update(key).digest('hex'), key.slice(0, 3), key.slice(-3), [...PERMISSIONS]]);
    return { id: organization!.id, key };
  } finally {
    await client.end();
  }
}
