import { createHash, timingSafeEqual } from 'node:crypto';
import type { Permission } from '@paddock/contract';
import type { Logger } from 'pino';
import type { Database, Subscription } from '../db/index.ts';
import type { HealthPrincipal, Principal, UserPrincipal } from './principal.ts';
import { CREDENTIALS_CHANGED, credentialByHash, recordUse } from './store.ts';

/**
 * A known key is not looked up again for this long. Changes are announced and take effect at once; the limit bounds what a
 * lost announcement costs, and lets running clients work through a restart of PostgreSQL.
 */
const KNOWN_FOR_MS = 10_000;
/** An unknown key is remembered shorter: a client that retries a wrong key must not cost a query each time. */
const UNKNOWN_FOR_MS = 2_000;
/** About 1 MiB. Beyond it the oldest entries go. */
const CACHE_SIZE = 5_000;
/** wire: last use is written at most every ten seconds. */
const RECORD_USE_EVERY_MS = 10_000;

interface Entry {
  readonly principal: UserPrincipal | null;
  readonly untilMs: number;
  /** Milliseconds since the epoch; Infinity: the key never expires. */
  readonly expiresAtMs: number;
}

/** Turns a bearer token into a principal. Serves HTTP routes, the gateway and socket.io alike. */
export class Authenticator {
  readonly #db: Database;
  readonly #log: Logger;
  readonly #healthKey: Buffer | null;
  readonly #cache = new Map<string, Entry>();
  readonly #loading = new Map<string, Promise<UserPrincipal | null>>();
  /** Raised by each invalidation, so that an answer that was on its way meanwhile is not kept. */
  #generation = 0;
  readonly #used = new Map<string, Date>();
  #timer: NodeJS.Timeout | undefined;
  #subscription: Subscription | undefined;

  constructor(db: Database, log: Logger, healthApiKey: string | null) {
    this.#db = db;
    this.#log = log;
    this.#healthKey = healthApiKey === null ? null : digest(healthApiKey);
  }

  async start(): Promise<void> {
    this.#subscription = await this.#db.listen(CREDENTIALS_CHANGED, (hash) => this.forget(hash), () => this.forget('*'));
    this.#timer = setInterval(() => void this.#recordUse(), RECORD_USE_EVERY_MS).unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#subscription?.stop();
    await this.#recordUse();
  }

  /**
   * @returns null when the token is no credential (unknown, expired, revoked, a JWT: indistinguishable on purpose).
   * A plain value when the answer is in memory. Rejects with DatabaseUnavailable.
   */
  authenticate(token: string): Principal | null | Promise<Principal | null> {
    if (token === '') return null;
    const hash = digest(token);
    if (this.#healthKey && timingSafeEqual(hash, this.#healthKey)) return HEALTH;
    // Keys of Paddock have this shape and ADMIN keys chosen by the operator may have any; a JWT is never one of them.
    if (looksLikeJwt(token)) return null;
    const key = hash.toString('hex');
    const entry = this.#cache.get(key);
    if (entry && entry.untilMs > performance.now()) return this.#checked(key, entry);
    return this.#load(key);
  }

  /** @param hash of a key that changed, or `*` for all */
  forget(hash: string): void {
    this.#generation++;
    if (hash === '*') this.#cache.clear();
    else this.#cache.delete(hash);
  }

  #checked(key: string, entry: Entry): UserPrincipal | null {
    if (!entry.principal || entry.expiresAtMs <= Date.now()) return null;
    this.#used.set(key, new Date());
    return entry.principal;
  }

  #load(key: string): Promise<UserPrincipal | null> {
    const running = this.#loading.get(key);
    if (running) return running;
    const load = this.#loadNow(key).finally(() => this.#loading.delete(key));
    this.#loading.set(key, load);
    return load;
  }

  async #loadNow(key: string): Promise<UserPrincipal | null> {
    for (;;) {
      const generation = this.#generation;
      const row = await this.#db.one(credentialByHash(key));
      if (generation !== this.#generation) continue; // Something changed while we read: read again.
      const principal: UserPrincipal | null = row && {
        kind: 'api-key',
        userId: row.user_id,
        email: row.email,
        organizationId: row.organization_id,
        organizationRole: row.organization_role,
        systemRole: row.system_role,
        permissions: new Set<Permission>(row.permissions),
        keyName: row.name,
        keyHash: key,
      };
      const entry: Entry = {
        principal,
        untilMs: performance.now() + (principal ? KNOWN_FOR_MS : UNKNOWN_FOR_MS),
        expiresAtMs: row?.expires_at?.getTime() ?? Infinity,
      };
      this.#cache.delete(key);
      this.#cache.set(key, entry);
      if (this.#cache.size > CACHE_SIZE) this.#cache.delete(this.#cache.keys().next().value!);
      return this.#checked(key, entry);
    }
  }

  async #recordUse(): Promise<void> {
    if (this.#used.size === 0) return;
    const used = [...this.#used];
    this.#used.clear();
    await this.#db.run(recordUse(used.map(([hash]) => hash), used.map(([, at]) => at)))
      .catch((error: unknown) => this.#log.debug({ err: error }, 'last use of keys not recorded'));
  }
}

const HEALTH: HealthPrincipal = { kind: 'health-check' };

/** @returns sha256 in hex, the only form in which a key is kept */
export function hashKey(value: string): string {
  return digest(value).toString('hex');
}

function digest(value: string): Buffer {
  return createHash('sha256').update(value).digest();
}

/** wire: three dot-separated parts of which the first two begin `eyJ`. */
function looksLikeJwt(token: string): boolean {
  const parts = token.split('.');
  return parts.length === 3 && parts[0]!.startsWith('eyJ') && parts[1]!.startsWith('eyJ');
}
