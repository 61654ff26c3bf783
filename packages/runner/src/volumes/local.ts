import { chmodSync, closeSync, constants, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, renameSync, rmdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RunnerError } from '../runner-error.ts';
import { createSubvolume, destroySubvolume, limitSubvolume } from '../storage/btrfs.ts';
import { withDirectory } from '../storage/pool.ts';
import { QuotaSweep } from '../storage/quota-sweep.ts';
import { O_PATH, detachedMount, errorCode } from '../sys/index.ts';
import { openSubpath } from './places.ts';
import { ROOT_MODE, type VolumeStore } from './store.ts';

export interface LocalSettings {
  /** Root of the storage pool. */
  readonly poolDir: string;
  /** The pool is btrfs with quotas: a volume is a subvolume. Else it is a directory that nothing limits. */
  readonly subvolumes: boolean;
  readonly quotaBytes: number;
  /** What can still be written to the pool. */
  readonly freeBytes: () => Promise<number>;
}

/** As for disks: running sandboxes need the rest to fail in their own files and not in the file system's metadata. */
const RESERVE_BYTES = 512 * 1024 ** 2;

/** Name of a discarded volume in its trash directory, which it has for itself as the kernel holds that while it deletes. */
const DISCARDED = 'volume';

/**
 * Volumes on the runner's pool: `volumes/live/<id>`. What is there is whole: a volume is made in `volumes/new` and moved, and
 * moved to `volumes/trash` before it is deleted.
 */
export class LocalVolumes implements VolumeStore {
  readonly #settings: LocalSettings;
  readonly #live: string;
  readonly #new: string;
  readonly #trash: string;
  readonly #sweep: QuotaSweep;

  constructor(settings: LocalSettings) {
    this.#settings = settings;
    const dir = join(settings.poolDir, 'volumes');
    [this.#live, this.#new, this.#trash] = ['live', 'new', 'trash'].map((name) => join(dir, name)) as [string, string, string];
    this.#sweep = new QuotaSweep(settings.poolDir);
  }

  /** Also finishes what an earlier runner was deleting or making. */
  async open(): Promise<void> {
    for (const dir of [this.#live, this.#new, this.#trash]) mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const id of readdirSync(this.#new)) await this.#discard(this.#new, id);
    for (const name of readdirSync(this.#trash)) await this.#empty(join(this.#trash, name));
  }

  async create(id: string): Promise<void> {
    if (existsSync(join(this.#live, id))) return;
    if ((await this.#settings.freeBytes()) < RESERVE_BYTES) throw new RunnerError('RUNNER_FULL', 'The storage pool is full.');
    await this.#discard(this.#new, id);
    const making = join(this.#new, id);
    try {
      if (this.#settings.subvolumes) this.#makeSubvolume(id, making);
      else mkdirSync(making);
      chmodSync(making, ROOT_MODE);
      renameSync(making, join(this.#live, id));
    } catch (error) {
      if (errorCode(error) === 'ENOSPC' || errorCode(error) === 'EDQUOT') throw new RunnerError('RUNNER_FULL', 'The storage pool is full.', error);
      throw error;
    }
  }

  async destroy(id: string): Promise<void> {
    await this.#discard(this.#new, id);
    await this.#discard(this.#live, id);
  }

  async list(): Promise<string[]> {
    return readdirSync(this.#live);
  }

  async detach(id: string, subpath: string | null, userNs: number, attributes: bigint): Promise<number | null> {
    const volumeFd = this.#openRoot(id);
    if (volumeFd === null) return null;
    try {
      if (subpath === null) return detachedMount(volumeFd, userNs, attributes);
      const directoryFd = openSubpath(volumeFd, subpath);
      try {
        return detachedMount(directoryFd, userNs, attributes);
      } finally {
        closeSync(directoryFd);
      }
    } finally {
      closeSync(volumeFd);
    }
  }

  async close(): Promise<void> {
    this.#sweep.close();
  }

  #openRoot(id: string): number | null {
    try {
      return openSync(join(this.#live, id), O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  #makeSubvolume(id: string, path: string): void {
    withDirectory(this.#new, (fd) => createSubvolume(fd, id));
    withDirectory(path, (fd) => limitSubvolume(fd, this.#settings.quotaBytes));
  }

  async #discard(parent: string, id: string): Promise<void> {
    const path = join(parent, id);
    if (!existsSync(path)) return;
    const trash = mkdtempSync(join(this.#trash, '-'));
    renameSync(path, join(trash, DISCARDED));
    await this.#empty(trash);
  }

  async #empty(trash: string): Promise<void> {
    if (existsSync(join(trash, DISCARDED))) {
      if (this.#settings.subvolumes) await this.#deleteSubvolume(trash);
      else await rm(join(trash, DISCARDED), { recursive: true, force: true });
    }
    rmdirSync(trash);
  }

  async #deleteSubvolume(trash: string): Promise<void> {
    const fd = openSync(trash, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await destroySubvolume(fd, DISCARDED);
    } finally {
      closeSync(fd);
    }
    this.#sweep.later();
  }
}
