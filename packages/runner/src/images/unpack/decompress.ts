/** Turns the bytes of a layer's blob into those of its tar. The blob itself says how it is compressed. */
import { once } from 'node:events';
import type { Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { errorCode } from '../../sys/index.ts';
import { GzipProcess, gzipProgram } from './gzip-process.ts';
import { BadLayer } from './tar-entry.ts';
import { CHUNK_BYTES, Unzstd } from './unzstd.ts';

export interface Decompressor {
  /** @returns a promise when the next piece has to wait for it; it rejects when the data is damaged or the taker threw */
  write(piece: Buffer): Promise<unknown> | null;
  /** Resolves when all of it was taken. */
  end(): Promise<void>;
  /** Lets go of everything, whatever the state. */
  close(): void;
}

/** Gets the tar piece by piece; a piece is good for the length of the call. What it throws ends the decompression. */
export type Take = (piece: Buffer) => void;

/** Starting a process costs as much as inflating this much here. */
const WORTH_A_PROCESS_BYTES = 1024 ** 2;

/**
 * @param start first bytes of the blob, at least four unless it is shorter; they are not written yet
 * @param sizeBytes of the whole blob; null: not known
 */
export function decompressor(start: Buffer, sizeBytes: number | null, take: Take): Decompressor {
  if (start.length >= 2 && start[0] === 0x1f && start[1] === 0x8b) {
    const program = sizeBytes !== null && sizeBytes < WORTH_A_PROCESS_BYTES ? null : gzipProgram();
    return program === null ? new InThread(createGunzip({ chunkSize: CHUNK_BYTES }), take) : new GzipProcess(program, take);
  }
  if (start.length >= 4 && isZstd(start.readUInt32LE(0))) return new InThread(new Unzstd(), take);
  if (start.subarray(0, 3).toString('latin1') === 'BZh' || start.subarray(0, 4).toString('latin1') === '\xfd7zX') throw new BadLayer('it is compressed with bzip2 or xz, which the OCI format does not have');
  return new Plain(take);
}

const FRAME = 0xfd2fb528;
/** Frames that hold something else, such as a table of contents. */
const SKIPPABLE = 0x184d2a50;

function isZstd(magic: number): boolean {
  return magic === FRAME || (magic & 0xfffffff0) >>> 0 === SKIPPABLE;
}

class Plain implements Decompressor {
  readonly #take: Take;

  constructor(take: Take) {
    this.#take = take;
  }

  write(piece: Buffer): null {
    this.#take(piece);
    return null;
  }

  async end(): Promise<void> {}

  close(): void {}
}

class InThread implements Decompressor {
  readonly #stream: Transform;
  readonly #ended = Promise.withResolvers<void>();

  constructor(stream: Transform, take: Take) {
    this.#stream = stream;
    this.#ended.promise.catch(() => undefined); // told of by the next write, at the latest at the end
    stream.on('data', (piece: Buffer) => {
      // What is still on its way when the taker has thrown belongs nowhere.
      if (stream.destroyed) return;
      try {
        take(piece);
      } catch (error) {
        this.#ended.reject(error);
        stream.destroy();
      }
    });
    stream.once('end', this.#ended.resolve);
    stream.once('error', (error) => this.#ended.reject(errorCode(error)?.match(/^(Z_|ERR_BUFFER|ZSTD_)/) ? new BadLayer(`its compressed data is damaged (${error.message})`) : error));
  }

  write(piece: Buffer): Promise<unknown> | null {
    if (this.#stream.destroyed) return this.#ended.promise;
    return this.#stream.write(piece) ? null : Promise.race([once(this.#stream, 'drain'), this.#ended.promise]);
  }

  end(): Promise<void> {
    if (!this.#stream.destroyed) this.#stream.end();
    return this.#ended.promise;
  }

  close(): void {
    this.#stream.destroy();
  }
}
