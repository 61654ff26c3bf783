import { statfs } from 'node:fs/promises';
import { BlobError } from '../blobs.ts';

/** How stale the known free space may be: what others write meanwhile, and what we do. */
const FRESH_MS = 500;
const FRESH_BYTES = 16 * 1024 ** 2;
const FRESH_FILES = 1000;
/** Of a new file or directory, whatever is in it. */
const FILE_BYTES = 4096;

export interface Kept {
  readonly bytes: number;
  /** Files and directories that can still be made; file systems without a bound of their own (btrfs) say nothing of it. */
  readonly files: number;
}

/** Room on the disk that blobs leave to others. */
export class Headroom {
  readonly #directory: string;
  readonly #keep: Kept;
  #askedAt = -Infinity;
  #free: Kept = { bytes: 0, files: 0 };
  /** Since it was asked. */
  #taken = { bytes: 0, files: 0 };
  /** Of work under way: the disk may not know of it yet when it is asked. */
  #reserved = 0;

  constructor(directory: string, keep: Kept) {
    this.#directory = directory;
    this.#keep = keep;
  }

  /** To be asked before so many bytes are written. @throws BlobError STORE_FULL */
  async take(bytes: number, files = 0): Promise<void> {
    if (this.#keep.bytes === 0 && this.#keep.files === 0) return;
    if (performance.now() - this.#askedAt > FRESH_MS || this.#taken.bytes > FRESH_BYTES || this.#taken.files > FRESH_FILES) {
      const { bavail, bsize, files: all, ffree } = await statfs(this.#directory);
      this.#free = { bytes: bavail * bsize, files: all > 0 ? ffree : Infinity };
      [this.#taken, this.#askedAt] = [{ bytes: this.#reserved * FILE_BYTES, files: this.#reserved }, performance.now()];
    }
    this.#taken.bytes += bytes;
    this.#taken.files += files;
    if (this.#free.bytes - this.#taken.bytes < this.#keep.bytes) throw full(`${Math.ceil(this.#keep.bytes / 1024 ** 2)} MiB`);
    if (this.#free.files - this.#taken.files < this.#keep.files) throw full(`room for ${this.#keep.files} files`);
  }

  /** Runs what may make so many files and directories. @throws BlobError STORE_FULL */
  async withFiles<T>(files: number, work: () => Promise<T>): Promise<T> {
    this.#reserved += files;
    try {
      await this.take(files * FILE_BYTES, files);
      return await work();
    } finally {
      this.#reserved -= files;
    }
  }
}

function full(left: string): BlobError {
  return new BlobError('STORE_FULL', `The disk of the blob store has less than ${left} free, which it leaves to others`);
}
