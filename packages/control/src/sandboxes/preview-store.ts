import { plan, type Queryable } from '../db/index.ts';

export interface SignedTokenRow {
  readonly sandboxId: string;
  readonly port: number;
  readonly expiresAt: Date;
}

const insert = (token: string, sandboxId: string, port: number, expiresAt: Date) => plan('preview-token-insert',
  'insert into signed_preview_tokens (token, sandbox_id, port, expires_at) values ($1, $2, $3, $4)', [token, sandboxId, port, expiresAt]);

const read = (token: string) => plan<SignedTokenRow>('preview-token-read',
  'select sandbox_id as "sandboxId", port, expires_at as "expiresAt" from signed_preview_tokens where token = $1', [token]);

const remove = (token: string, sandboxId: string, port: number) => plan('preview-token-remove',
  'delete from signed_preview_tokens where token = $1 and sandbox_id = $2 and port = $3', [token, sandboxId, port]);

/** Tokens of signed preview URLs. They outlive restarts of the sandbox and of the server. */
export class PreviewStore {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async insert(token: string, sandboxId: string, port: number, expiresAt: Date): Promise<void> {
    await this.#db.run(insert(token, sandboxId, port, expiresAt));
  }

  read(token: string): Promise<SignedTokenRow | null> {
    return this.#db.one(read(token));
  }

  /** @returns whether there was such a token */
  async remove(token: string, sandboxId: string, port: number): Promise<boolean> {
    return (await this.#db.run(remove(token, sandboxId, port))) > 0;
  }
}
