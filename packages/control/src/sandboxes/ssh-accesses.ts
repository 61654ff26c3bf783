import { createHash, randomUUID } from 'node:crypto';
import type { PaddockConfig, SshAccessDto } from '@paddock/contract';
import type { Subscription } from '../db/index.ts';
import { StatusError } from '../http/index.ts';
import type { Sandbox } from './sandbox.ts';
import type { SshAccessRow, SshStore } from './ssh-store.ts';
import { newSshToken } from './tokens.ts';

/** wire: an hour unless asked otherwise. */
const DEFAULT_MINUTES = 60;
/** A year: a token is a password that stands in shell histories. */
export const MAX_SSH_MINUTES = 525_600;

export interface SshAccessesDeps {
  readonly config: Pick<PaddockConfig, 'publicUrl' | 'sshPort'>;
  readonly store: SshStore;
  readonly find: (organizationId: string, idOrName: string) => Promise<Sandbox>;
  readonly byId: (id: string) => Promise<Sandbox | null>;
}

/**
 * Tokens with which SSH enters a sandbox. Only their hash is kept. A new one replaces the sandbox's earlier one, which then opens
 * no connection any more; those that it opened stay, so that a second terminal does not close the first. Revoking the access that
 * is valid, or all, closes them too: then nobody has one.
 */
export class SshAccesses {
  readonly #deps: SshAccessesDeps;
  readonly #listeners = new Set<(sandboxId: string | null) => void>();
  #subscription: Subscription | undefined;

  constructor(deps: SshAccessesDeps) {
    this.#deps = deps;
  }

  /** Hears from then on of what other processes revoke. */
  async start(): Promise<void> {
    this.#subscription = await this.#deps.store.followRevocations((sandboxId) => this.#tell(sandboxId), () => this.#tell(null));
  }

  stop(): void {
    this.#subscription?.stop();
  }

  /** @param listener gets null when revocations may have gone unheard @returns unsubscribe */
  onRevoked(listener: (sandboxId: string | null) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async create(organizationId: string, idOrName: string, minutes: number = DEFAULT_MINUTES): Promise<SshAccessDto> {
    const { config, store, find } = this.#deps;
    if (!(minutes > 0 && minutes <= MAX_SSH_MINUTES)) throw new StatusError(400, `expiresInMinutes must be more than 0 and at most ${MAX_SSH_MINUTES}`);
    const sandbox = await find(organizationId, idOrName);
    if (config.sshPort === 0) throw new StatusError(501, 'SSH is switched off on this server (PADDOCK_SSH_PORT is 0)');
    const token = newSshToken();
    const row = await store.replace(randomUUID(), sandbox.id, hashOf(token), minutes);
    return {
      id: row.id, sandboxId: row.sandboxId, token,
      expiresAt: row.expiresAt.toISOString(), createdAt: row.createdAt.toISOString(), updatedAt: row.updatedAt.toISOString(),
      sshCommand: sshCommand(config, token),
    };
  }

  /** One that is not there has ended already. @param token undefined: all of the sandbox's @returns the sandbox */
  async revoke(organizationId: string, idOrName: string, token: string | undefined): Promise<Sandbox> {
    const sandbox = await this.#deps.find(organizationId, idOrName);
    const all = token === undefined || token === '';
    if (await this.#deps.store.remove(sandbox.id, all ? null : hashOf(token))) this.#tell(sandbox.id);
    return sandbox;
  }

  /** @returns those of the accesses that still stand, expired or not */
  remaining(accessIds: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#deps.store.existing(accessIds);
  }

  /** For the API: a token of somebody else's sandbox is as unknown as any. */
  async validate(organizationId: string, token: string): Promise<{ valid: boolean; sandboxId?: string }> {
    const access = await this.access(token);
    const sandbox = access && (await this.#deps.byId(access.sandboxId));
    if (!sandbox || sandbox.organizationId !== organizationId || sandbox.state === 'destroyed') return { valid: false };
    return { valid: true, sandboxId: sandbox.id };
  }

  /** For the gateway: whoever holds the token may enter. @returns null: unknown, revoked or expired */
  access(token: string): Promise<SshAccessRow | null> {
    return this.#deps.store.readValid(hashOf(token));
  }

  #tell(sandboxId: string | null): void {
    for (const listener of this.#listeners) listener(sandboxId);
  }
}

/** wire: clients split it at white space and run it, so the first word is `ssh` and nothing is quoted. */
export function sshCommand({ publicUrl, sshPort }: Pick<PaddockConfig, 'publicUrl' | 'sshPort'>, token: string): string {
  const host = new URL(publicUrl).hostname.replace(/^\[|\]$/g, '');
  return `ssh${sshPort === 22 ? '' : ` -p ${sshPort}`} ${token}@${host}`;
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
