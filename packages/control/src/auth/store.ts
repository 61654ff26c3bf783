import type { Permission } from '@paddock/contract';
import { plan } from '../db/index.ts';

export interface CredentialRow {
  organization_id: string;
  user_id: string;
  name: string;
  permissions: Permission[];
  expires_at: Date | null;
  email: string;
  system_role: 'user' | 'admin';
  organization_role: 'owner' | 'member';
}

/** Everything a request's authorisation needs, in one row. */
export const credentialByHash = (hash: string) => plan<CredentialRow>('auth_credential', `
  SELECT k.organization_id, k.user_id, k.name, k.permissions, k.expires_at, u.email, u.role AS system_role, m.role AS organization_role
  FROM api_keys k
  JOIN users u ON u.id = k.user_id
  JOIN organization_users m ON m.organization_id = k.organization_id AND m.user_id = k.user_id
  WHERE k.hash = $1`, [hash]);

export const recordUse = (hashes: readonly string[], times: readonly Date[]) => plan('auth_record_use', `
  UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, used.at)
  FROM unnest($1::text[], $2::timestamptz[]) AS used(hash, at)
  WHERE k.hash = used.hash`, [hashes, times]);

/** Channel on which the hash of a key that changed or went is announced; `*` stands for any number of them. */
export const CREDENTIALS_CHANGED = 'paddock_credentials';

/** Run it in the transaction of the change: PostgreSQL sends it with the commit. */
export const announceChange = (hash: string) => plan('auth_announce', `SELECT pg_notify('${CREDENTIALS_CHANGED}', $1)`, [hash]);
