import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** `catalog` is listing the names of repositories. */
export const REGISTRY_ACTIONS = ['pull', 'push', 'delete', 'catalog'] as const;
export type RegistryAction = (typeof REGISTRY_ACTIONS)[number];

export interface RegistryGrant {
  /** A repository, or with a slash at the end all repositories below. */
  readonly repositories: string;
  readonly actions: readonly RegistryAction[];
}

/** What somebody proved to be allowed to. */
export interface RegistryAccess {
  /** Who, for logs. */
  readonly subject: string;
  readonly grants: readonly RegistryGrant[];
  readonly expiresAtMs: number;
}

export interface RegistryCredential {
  readonly username: string;
  readonly secret: string;
  readonly expiresAt: Date;
}

export function allows(access: RegistryAccess, repository: string, action: RegistryAction): boolean {
  return access.grants.some((grant) => covers(grant, repository) && grant.actions.includes(action));
}

function covers({ repositories }: RegistryGrant, repository: string): boolean {
  return repositories.endsWith('/') ? repository.startsWith(repositories) : repository === repositories;
}

type Kind = 'credential' | 'token';

interface Payload extends RegistryAccess {
  readonly kind: Kind;
  readonly username: string;
}

/** Longer than any we make: a token for a hundred repositories has about 15 kB. */
const MAX_TEXT = 32_768;

/**
 * Credentials and bearer tokens that carry what they allow, signed with a key of the installation: nothing is stored, any
 * control plane can check them, and none can be withdrawn before it expires. That is why they live an hour at most.
 */
export class RegistryCredentials {
  readonly #key: Buffer;
  readonly #now: () => number;

  /** @param key 32 bytes or more */
  constructor(key: Buffer, now: () => number = Date.now) {
    this.#key = key;
    this.#now = now;
  }

  issue(subject: string, grants: readonly RegistryGrant[], lifetimeMs: number): RegistryCredential {
    const username = `paddock-${randomBytes(6).toString('hex')}`;
    const expiresAtMs = this.#now() + lifetimeMs;
    return { username, secret: this.#seal({ kind: 'credential', username, subject, grants, expiresAtMs }), expiresAt: new Date(expiresAtMs) };
  }

  /** A bearer token for a part of an access; it ends with it. */
  token(access: RegistryAccess, grants: readonly RegistryGrant[]): { readonly token: string; readonly expiresInSeconds: number } {
    const token = this.#seal({ kind: 'token', username: '', subject: access.subject, grants, expiresAtMs: access.expiresAtMs });
    return { token, expiresInSeconds: Math.max(1, Math.floor((access.expiresAtMs - this.#now()) / 1000)) };
  }

  /** @returns null when it is not ours, expired or of another user name */
  checkCredential(username: string, secret: string): RegistryAccess | null {
    const payload = this.#open('credential', secret);
    return payload !== null && payload.username === username ? payload : null;
  }

  /** The secret alone says whose it is. */
  checkSecret(secret: string): RegistryAccess | null {
    return this.#open('credential', secret);
  }

  checkToken(token: string): RegistryAccess | null {
    return this.#open('token', token);
  }

  #seal(payload: Payload): string {
    const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
    return `${text}.${this.#sign(text).toString('base64url')}`;
  }

  #open(kind: Kind, text: string): Payload | null {
    if (text.length > MAX_TEXT) return null;
    const [body = '', signature = '', rest] = text.split('.');
    const given = Buffer.from(signature, 'base64url');
    const right = this.#sign(body);
    if (rest !== undefined || given.length !== right.length || !timingSafeEqual(given, right)) return null;
    // Signed by us, so it has the shape we gave it.
    const payload = JSON.parse(Buffer.from(body, 'base64url').toString()) as Payload;
    return payload.kind === kind && payload.expiresAtMs > this.#now() ? payload : null;
  }

  #sign(text: string): Buffer {
    return createHmac('sha256', this.#key).update(text).digest();
  }
}
