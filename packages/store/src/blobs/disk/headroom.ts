import { statfs } from 'node:fs/promises';
import { BlobError } from '../blobs.ts';

/** How stale the known free space may be: what others write meanwhile, and what we do. */
const FRESH_MS = 500;
const FRESH_BYTES = 16 * 1024 ** 2;

/** Room on the disk that blobs leave to others. */
export class Headroom {
  readonly #directory: string;
  readonly #keepFreeBytes: number;
  #askedAt = -Infinity;
  #free = 0;
  #written = 0;

  constructor(directory: string, keepFreeBytes: number) {
    this.#directory = directory;
    this.#keepFreeBytes = keepFreeBytes;
  }

  /** To be asked before so many bytes are written. @throws BlobError STORE_FULL */
  async take(bytes: number): Promise<void> {
    if (this.#keepFreeBytes === 0) return;
    if (performance.now() - this.#askedAt > FRESH_MS || this.#written > FRESH_BYTES) {
      const { bavail, bsize } = await statfs(this.#directory);
      [this.#free, this.#written, this.#askedAt] = [bavail * bsize, 0, performance.now()];
    }
    this.#written += bytes;
    if (this.#free - this.#written < this.#keepFreeBytes) throw new BlobError('STORE_FULL', `The disk of the blob store has less than ${Math.ceil(this.#keepFreeBytes / 1024 ** 2)} MiB free, which it leaves to others`);
  }
}
