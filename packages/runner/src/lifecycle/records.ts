/** What the runner remembers of each sandbox: one JSON file, replaced atomically. Holds env and token, hence mode 0600. */
import { mkdirSync } from 'node:fs';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxSpec } from '@paddock/contract';
import type { Phase } from './phases.ts';

export interface SandboxRecord {
  readonly version: 1;
  /** As last asked for, patches included: what the next start uses. */
  readonly spec: SandboxSpec;
  readonly phase: Phase;
  /** Init and its network slot, from `started` until they are gone. */
  readonly run: {
    readonly pid: number;
    readonly startTime: string;
    readonly slot: number;
    /** Version of the guest runtime it was started with and still sees. */
    readonly guest: string;
  } | null;
  /** Why it does not run, in words for the user. */
  readonly reason?: string;
}

/** A record that cannot be read: the disk may hold somebody's work, so nothing is removed on its account. */
export interface LostRecord {
  readonly id: string;
  readonly error: string;
}

const SUFFIX = '.json';

export class Records {
  readonly #dir: string;
  #serial = 0;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  async write(record: SandboxRecord): Promise<void> {
    const path = this.#path(record.spec.id);
    const temporary = `${path}.${process.pid}.${this.#serial++}`;
    await writeFile(temporary, JSON.stringify(record), { mode: 0o600 });
    await rename(temporary, path);
  }

  async remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  async readAll(): Promise<{ records: SandboxRecord[]; lost: LostRecord[] }> {
    const records: SandboxRecord[] = [];
    const lost: LostRecord[] = [];
    for (const name of await readdir(this.#dir)) {
      const path = join(this.#dir, name);
      if (!name.endsWith(SUFFIX)) {
        await rm(path, { force: true, recursive: true }); // a write that was cut short
        continue;
      }
      const id = name.slice(0, -SUFFIX.length);
      try {
        const record = JSON.parse(await readFile(path, 'utf8')) as SandboxRecord;
        if (record.version !== 1 || record.spec?.id !== id) throw new Error('not a record of this sandbox');
        // A runner that knew no volumes wrote none.
        records.push({ ...record, spec: { ...record.spec, volumes: record.spec.volumes ?? [] } });
      } catch (error) {
        lost.push({ id, error: (error as Error).message });
      }
    }
    return { records, lost };
  }

  #path(id: string): string {
    return join(this.#dir, `${id}${SUFFIX}`);
  }
}
