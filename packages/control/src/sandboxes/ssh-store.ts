import { plan, type Queryable } from '../db/index.ts';

export interface SshAccessRow {
  readonly id: string;
  readonly sandboxId: string;
  readonly expiresAt: Date;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const ACCESS = 'id, sandbox_id as "sandboxId", expires_at as "expiresAt", created_at as "createdAt", updated_at as "updatedAt"';

const replace = (id: string, sandboxId: string, tokenHash: Buffer, minutes: number) => plan<SshAccessRow>('ssh-access-replace', `
  insert into ssh_accesses (id, sandbox_id, token_hash, expires_at) values ($1, $2, $3, now() + $4 * interval '1 minute')
  on conflict (sandbox_id) do update
    set id = excluded.id, token_hash = excluded.token_hash, expires_at = excluded.expires_at, created_at = now(), updated_at = now()
  returning ${ACCESS}`, [id, sandboxId, tokenHash, minutes]);

const readValid = (tokenHash: Buffer) => plan<SshAccessRow>('ssh-access-read',
  `select ${ACCESS} from ssh_accesses where token_hash = $1 and expires_at > now()`, [tokenHash]);

const remove = (sandboxId: string, tokenHash: Buffer | null) => plan('ssh-access-remove',
  'delete from ssh_accesses where sandbox_id = $1 and ($2::bytea is null or token_hash = $2)', [sandboxId, tokenHash]);

/** SSH accesses. They outlive restarts of the sandbox and of the server. */
export class SshStore {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** The sandbox's only access from then on. @param minutes until it expires */
  async replace(id: string, sandboxId: string, tokenHash: Buffer, minutes: number): Promise<SshAccessRow> {
    return (await this.#db.one(replace(id, sandboxId, tokenHash, minutes)))!;
  }

  /** @returns null when there is none or it has expired */
  readValid(tokenHash: Buffer): Promise<SshAccessRow | null> {
    return this.#db.one(readValid(tokenHash));
  }

  /** @param tokenHash null: whatever the sandbox has @returns whether there was one */
  async remove(sandboxId: string, tokenHash: Buffer | null): Promise<boolean> {
    return (await this.#db.run(remove(sandboxId, tokenHash))) > 0;
  }
}
