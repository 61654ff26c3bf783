import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Entries of directories brought to stable storage. Many writers of one directory share an fsync: whoever comes while one runs takes part in
 * the next.
 */
export class Durable {
  readonly #syncs = new Map<string, { running: Promise<void>; next: Promise<void> | null }>();
  /** Directories whose own entry is not yet safe. */
  readonly #fresh = new Map<string, Promise<void>>();

  /** A directory that is gone has nothing to keep. */
  sync(directory: string): Promise<void> {
    const under = this.#syncs.get(directory);
    if (under) return (under.next ??= under.running.catch(() => undefined).then(() => this.#start(directory)));
    return this.#start(directory);
  }

  #start(directory: string): Promise<void> {
    const entry = { running: syncNow(directory), next: null };
    this.#syncs.set(directory, entry);
    const settle = () => {
      if (this.#syncs.get(directory) === entry && entry.next === null) this.#syncs.delete(directory);
    };
    entry.running.then(settle, settle);
    return entry.running;
  }

  /** Makes the directory and what is missing above it. @returns the topmost one made, null: all was there */
  async makeDirectory(directory: string): Promise<string | null> {
    const first = await mkdir(directory, { recursive: true, mode: 0o700 });
    if (first === undefined) return null;
    const made: string[] = [];
    for (let path = directory; ; path = dirname(path)) {
      made.push(path);
      if (path === first || path === dirname(path)) break;
    }
    const safe = Promise.all(made.map((path) => this.sync(dirname(path)))).then(() => undefined);
    for (const path of made) this.#fresh.set(path, safe);
    try {
      await safe;
    } finally {
      for (const path of made) if (this.#fresh.get(path) === safe) this.#fresh.delete(path);
    }
    return first;
  }

  /** What another writer made above this directory a moment ago is safe too. */
  async ancestors(directory: string): Promise<void> {
    if (this.#fresh.size === 0) return;
    for (let path = directory; path !== dirname(path); path = dirname(path)) await this.#fresh.get(path);
  }
}

async function syncNow(directory: string): Promise<void> {
  const handle = await open(directory, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  try {
    await handle?.sync();
  } finally {
    await handle?.close();
  }
}
