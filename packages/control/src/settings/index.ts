import { randomBytes } from 'node:crypto';
import { plan, type Database, type Queryable } from '../db/index.ts';

const read = (name: string) => plan<{ value: string }>('settings_read', 'SELECT value FROM settings WHERE name = $1', [name]);
const insert = (name: string, value: string) => plan('settings_insert', 'INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING', [name, value]);

/** Facts of this installation that outlive it: secrets made at install, things done once. Equal in all replicas. */
export class Settings {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  /** 32 random bytes, made when first asked for, the same ever after. */
  async secret(name: string): Promise<Buffer> {
    await this.#db.run(insert(name, randomBytes(32).toString('base64')));
    const row = await this.#db.one(read(name));
    return Buffer.from(row!.value, 'base64');
  }
}

/** @returns true for the one caller that sets it */
export async function markOnce(db: Queryable, name: string): Promise<boolean> {
  return (await db.run(insert(name, new Date().toISOString()))) === 1;
}
