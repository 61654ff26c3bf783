import { plan, type Database, type Subscription } from '../db/index.ts';

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

/** Who revoked, and which sandbox. */
export const SSH_REVOKED_CHANNEL = 'paddock_ssh_revoked';

/** In one statement: whoever has an open connection hears of it if and only if it is committed. @returns a row when there is something to hear */
const remove = (sandboxId: string, tokenHash: Buffer | null, origin: string) => plan('ssh-access-remove', `
  with removed as (delete from ssh_accesses where sandbox_id = $1 and ($2::bytea is null or token_hash = $2) returning id)
  select pg_notify('${SSH_REVOKED_CHANNEL}', $3) from (select count(*) as rows from removed) counted where $2::bytea is null or rows > 0`,
[sandboxId, tokenHash, `${origin} ${sandboxId}`]);

const readIds = (ids: readonly string[]) => plan<{ id: string }>('ssh-access-ids', 'select id from ssh_accesses where id = any($1)', [ids]);

/** SSH accesses. They outlive restarts of the sandbox and of the server. */
export class SshStore {
  readonly #db: Database;
  readonly #origin: string;

  /** @param origin UUID of this process */
  constructor(db: Database, origin: string) {
    this.#db = db;
    this.#origin = origin;
  }

  /** Revocations by other processes of this database. @param missed some may have gone unheard */
  followRevocations(revoked: (sandboxId: string) => void, missed: () => void): Promise<Subscription> {
    return this.#db.listen(SSH_REVOKED_CHANNEL, (message) => {
      const [origin, sandboxId] = message.split(' ');
      if (origin !== this.#origin && sandboxId !== undefined) revoked(sandboxId);
    }, missed);
  }

  /** @returns those of the ids that are of an access, expired or not */
  async existing(ids: readonly string[]): Promise<ReadonlySet<string>> {
    return new Set((await this.#db.query(readIds(ids))).map(({ id }) => id));
  }

  /** The sandbox's only access from then on. @param minutes until it expires */
  async replace(id: string, sandboxId: string, tokenHash: Buffer, minutes: number): Promise<SshAccessRow> {
    return (await this.#db.one(replace(id, sandboxId, tokenHash, minutes)))!;
  }

  /** @returns null when there is none or it has expired */
  readValid(tokenHash: Buffer): Promise<SshAccessRow | null> {
    return this.#db.one(readValid(tokenHash));
  }

  /**
   * Also tells the other processes.
   * @param tokenHash null: whatever the sandbox has @returns whether anybody may have lost an access; always when it was about whatever there is
   */
  async remove(sandboxId: string, tokenHash: Buffer | null): Promise<boolean> {
    return (await this.#db.run(remove(sandboxId, tokenHash, this.#origin))) > 0;
  }
}
