import type { Permission } from '@paddock/contract';
import { plan } from '../db/index.ts';

export interface ApiKeyRow {
  organization_id: string;
  user_id: string;
  name: string;
  hash: string;
  prefix: string;
  suffix: string;
  permissions: Permission[];
  created_at: Date;
  last_used_at: Date | null;
  expires_at: Date | null;
}

const COLUMNS = 'organization_id, user_id, name, hash, prefix, suffix, permissions, created_at, last_used_at, expires_at';

export interface NewApiKey {
  readonly organizationId: string;
  readonly userId: string;
  readonly name: string;
  readonly hash: string;
  /** First and last three characters: all that is ever shown again. */
  readonly prefix: string;
  readonly suffix: string;
  readonly permissions: readonly Permission[];
  readonly expiresAt: Date | null;
}

/** @returns no row when the name (or the very key) exists */
export const insertApiKey = (key: NewApiKey) => plan<ApiKeyRow>('api_keys_insert', `
  INSERT INTO api_keys (organization_id, user_id, name, hash, prefix, suffix, permissions, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
[key.organizationId, key.userId, key.name, key.hash, key.prefix, key.suffix, key.permissions, key.expiresAt]);

/** wire: last used first, never used last. @param userId null for the keys of every member */
export const listApiKeys = (organizationId: string, userId: string | null) => plan<ApiKeyRow>('api_keys_list', `
  SELECT ${COLUMNS} FROM api_keys WHERE organization_id = $1 AND ($2::text IS NULL OR user_id = $2)
  ORDER BY last_used_at DESC NULLS LAST, created_at DESC`, [organizationId, userId]);

export const apiKeyByName = (organizationId: string, userId: string, name: string) => plan<ApiKeyRow>('api_keys_by_name', `
  SELECT ${COLUMNS} FROM api_keys WHERE organization_id = $1 AND user_id = $2 AND name = $3`, [organizationId, userId, name]);

export const deleteApiKey = (organizationId: string, userId: string, name: string) => plan<{ hash: string }>('api_keys_delete', `
  DELETE FROM api_keys WHERE organization_id = $1 AND user_id = $2 AND name = $3 RETURNING hash`, [organizationId, userId, name]);
