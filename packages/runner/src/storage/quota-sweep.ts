import { openSync, closeSync, constants } from 'node:fs';
import { removeQgroup, staleQgroups } from './btrfs.ts';

/**
 * A deleted subvolume's qgroup can go when the file system has let go of its last extent: after the next commit (30 s by
 * default) and the cleaner's run behind it.
 */
const SETTLE_MS = 45_000;

/** Removes the qgroups of deleted subvolumes, some time after the deletions: one walk serves them all. */
export class QuotaSweep {
  readonly #poolDir: string;
  #timer: NodeJS.Timeout | null = null;

  constructor(poolDir: string) {
    this.#poolDir = poolDir;
  }

  /** A subvolume was deleted. */
  later(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.run() > 0) this.later();
    }, SETTLE_MS).unref();
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
