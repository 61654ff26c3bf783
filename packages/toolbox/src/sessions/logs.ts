import { mkdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { homeDir } from '../environment/places.ts';
import type { Log } from './log.ts';

/**
 * Limits over the logs of all sessions together. Over a limit, the logs of the commands that finished longest ago pay first: their
 * memory goes to disk, their files away.
 */

/** All files. A sixth of the smallest disk. */
const DISK_BYTES = 512 * 1024 * 1024;

/** Finished logs that were too short to be written. Some 2,000 ordinary commands. */
const MEMORY_BYTES = 1024 * 1024;

class Logs {
  diskBytes = 0;
  memoryBytes = 0;
  readonly #finished = new Set<Log>();
  readonly #onDisk = new Set<Log>();
  #dir: string | null = null;

  /** Running commands give up their oldest output too when the finished ones have nothing left. */
  get overDisk(): boolean {
    return this.diskBytes > DISK_BYTES && this.#onDisk.size === 0;
  }

  /** Path for a new file. What an earlier toolbox left is removed first. */
  file(name: string): string {
    this.#dir ??= emptyDirectory();
    return join(this.#dir, name);
  }

  finished(log: Log): void {
    this.#finished.add(log);
    this.#enforce();
  }

  gone(log: Log): void {
    this.#finished.delete(log);
    this.#onDisk.delete(log);
  }

  #enforce(): void {
    for (const log of this.#finished) {
      if (this.memoryBytes <= MEMORY_BYTES) break;
      this.#finished.delete(log);
      this.#onDisk.add(log);
      void log.moveToDisk();
    }
    for (const log of this.#onDisk) {
      if (this.diskBytes <= DISK_BYTES) break;
      log.dispose();
    }
  }
}

export const LOGS = new Logs();

function emptyDirectory(): string {
  for (const base of [join(homeDir, '.daytona'), join(os.tmpdir(), `.paddock-${process.getuid!()}`)]) {
    const dir = join(base, 'sessions');
    try {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      return dir;
    } catch {
      // A home that cannot be written; the next place.
    }
  }
  return os.tmpdir();
}
