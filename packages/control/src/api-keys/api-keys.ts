import { randomBytes } from 'node:crypto';
import type { ApiKeyList, ApiKeyResponse, CreateApiKey } from '@paddock/contract';
import { announceChange, hashKey, type Authenticator, type UserPrincipal } from '../auth/index.ts';
import type { Database } from '../db/index.ts';
import { ApiError } from '../http/index.ts';
import { apiKeyByName, deleteApiKey, insertApiKey, listApiKeys, type ApiKeyRow, type NewApiKey } from './store.ts';

/** wire: `dtn_` and 32 random bytes in lower-case hex. */
export function generateApiKey(): string {
  return `dtn_${randomBytes(32).toString('hex')}`;
}

/** The three parts of a key that are stored. */
export function storedParts(value: string): Pick<NewApiKey, 'hash' | 'prefix' | 'suffix'> {
  return { hash: hashKey(value), prefix: value.slice(0, 3), suffix: value.slice(-3) };
}

export class ApiKeys {
  readonly #db: Database;
  readonly #auth: Authenticator;
  constructor(db: Database, auth: Authenticator) {
    this.#db = db;
    this.#auth = auth;
  }

  async create(creator: UserPrincipal, request: CreateApiKey): Promise<ApiKeyResponse> {
    const permissions = [...new Set(request.permissions)];
    // A key that could pass on more than it holds would be every key.
    const excess = permissions.filter((permission) => !creator.permissions.has(permission));
    if (excess.length > 0) throw new ApiError('EXCESS_PERMISSIONS', { permissions: excess.join(', ') });
    const value = generateApiKey();
    const row = await this.#db.one(insertApiKey({
      ...storedParts(value), organizationId: creator.organizationId, userId: creator.userId, name: request.name, permissions,
      expiresAt: request.expiresAt === undefined ? null : new Date(request.expiresAt),
    }));
    if (!row) throw new ApiError('API_KEY_EXISTS', { name: request.name });
    return { name: row.name, value, createdAt: row.created_at.toISOString(), permissions: row.permissions, expiresAt: row.expires_at?.toISOString() ?? null };
  }

  /** wire: an owner sees the keys of all members, a member its own. */
  async list(principal: UserPrincipal): Promise<ApiKeyList[]> {
    const userId = principal.organizationRole === 'owner' ? null : principal.userId;
    return (await this.#db.query(listApiKeys(principal.organizationId, userId))).map(toDto);
  }

  async get(principal: UserPrincipal, name: string): Promise<ApiKeyList> {
    const row = await this.#db.one(apiKeyByName(principal.organizationId, principal.userId, name));
    if (!row) throw new ApiError('API_KEY_NOT_FOUND', { name });
    return toDto(row);
  }

  /** When it returns, no control plane of this installation accepts the key any more (this one surely, others as fast as PostgreSQL tells them). */
  async delete(principal: UserPrincipal, userId: string, name: string): Promise<void> {
    if (userId !== principal.userId && principal.organizationRole !== 'owner') throw new ApiError('ACCESS_DENIED');
    const hash = await this.#db.tx(async (tx) => {
      const row = await tx.one(deleteApiKey(principal.organizationId, userId, name));
      if (row) await tx.run(announceChange(row.hash));
      return row?.hash;
    });
    if (hash === undefined) throw new ApiError('API_KEY_NOT_FOUND', { name });
    this.#auth.forget(hash);
  }
}

function toDto(row: ApiKeyRow): ApiKeyList {
  return {
    name: row.name,
    value: `${row.prefix}${'*'.repeat(20)}${row.suffix}`,
    createdAt: row.created_at.toISOString(),
    permissions: row.permissions,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    expiresAt: row.expires_at?.toISOString() ?? null,
    userId: row.user_id,
  };
}
