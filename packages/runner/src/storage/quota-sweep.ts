import { openSync, closeSync, constants } from 'node:fs';
import { removeQgroup, staleQgroups } from './btrfs.ts';

/**
 * A deleted subvolume's qgroup can go when the file system has let go of its last extent: after the next commit (30 s by
 * default) and the cleaner's run behind it.
 */
const SETTLE_MS = 45_000;

/** One whose extents a snapshot still has goes only with the snapshot: looked for twice as rarely each time, and again after each deletion. */
const LONGEST_MS = 3_600_000;

/** Removes the qgroups of deleted subvolumes, some time after the deletions: one walk serves them all. */
export class QuotaSweep {
  readonly #poolDir: string;
  #timer: NodeJS.Timeout | null = null;
  #dueAt = 0;

  constructor(poolDir: string) {
    this.#poolDir = poolDir;
  }

  /** A subvolume was deleted. */
  later(): void {
    if (this.#timer !== null && this.#dueAt - performance.now() <= SETTLE_MS) return;
    this.close();
    this.#after(SETTLE_MS);
  }

  #after(ms: number): void {
    this.#dueAt = performance.now() + ms;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.run() > 0) this.#after(Math.min(ms * 2, LONGEST_MS));
    }, ms).unref();
  }

  /** @returns how many are still in use by the kernel */
  run(): number {
    const fd = openSync(this.#poolDir, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return staleQgroups(fd).filter((id) => !removeQgroup(fd, id)).length;
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
