import { closeSync, read, writeSync } from 'node:fs';
import os from 'node:os';
import { promisify } from 'node:util';
import { scratchFile } from './pipes.ts';

/** Kept in memory up to here; what a longer output holds goes to a nameless file, so that many at once do not fill memory. */
const IN_MEMORY_BYTES = 4 * 1024 * 1024;

/**
 * Longest output of one command. The reply is a single JSON text, and clients (V8's strings end at 512 MiB) could not read
 * a longer one: a command that prints more should write to a file.
 */
export const MAX_OUTPUT_BYTES = 512 * 1024 * 1024;

const READ_BYTES = 256 * 1024;
const readAt = promisify(read);

/** What a command printed, in order of writing. Owner calls `dispose`. */
export class Output {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #spill: number | null = null;

  get bytes(): number {
    return this.#bytes;
  }

  /** @param chunk is kept, the caller must not reuse it. Throws the errno when the disk refuses it. */
  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#spill === null && this.#bytes <= IN_MEMORY_BYTES) {
      this.#chunks.push(chunk);
      return;
    }
    if (this.#spill === null) {
      this.#spill = scratchFile([os.tmpdir(), '/var/tmp']);
      for (const earlier of this.#chunks) writeAll(this.#spill, earlier);
      this.#chunks = [];
    }
    writeAll(this.#spill, chunk);
  }

  /** The whole output when it is short enough to be held in memory, else null. */
  inMemory(): Buffer | null {
    if (this.#spill !== null) return null;
    return this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
  }

  async *read(): AsyncGenerator<Buffer> {
    if (this.#spill === null) return void (yield* this.#chunks);
    for (let at = 0; at < this.#bytes;) {
      const { bytesRead, buffer } = await readAt(this.#spill, Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** The last `bytes` of it. */
  async tail(bytes: number): Promise<Buffer> {
    if (this.#spill === null) return Buffer.concat(this.#chunks).subarray(-bytes);
    const from = Math.max(0, this.#bytes - bytes);
    const { bytesRead, buffer } = await readAt(this.#spill, Buffer.alloc(bytes), 0, bytes, from);
    return buffer.subarray(0, bytesRead);
  }

  dispose(): void {
    if (this.#spill !== null) closeSync(this.#spill);
    this.#spill = null;
    this.#chunks = [];
  }
}

function writeAll(fd: number, chunk: Buffer): void {
  for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
}
