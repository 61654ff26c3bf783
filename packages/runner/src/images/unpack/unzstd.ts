import { Transform, type TransformCallback } from 'node:stream';
import { constants, createZstdDecompress } from 'node:zlib';
import { BadLayer } from './tar-entry.ts';
import { ZstdFrames } from './zstd-frames.ts';

/** Larger pieces mean fewer turns between threads; from 128 KiB on malloc gives each back to the kernel. */
export const CHUNK_BYTES = 64 * 1024;

/** Node's decompressor reads one frame; layers made in parallel or for partial pulls have many. */
export class Unzstd extends Transform {
  #frame = this.#next();
  readonly #frames = new ZstdFrames({
    data: (piece) => this.#pieces.push(piece),
    end: () => this.#pieces.push(null),
  });
  #pieces: Array<Buffer | null> = [];

  override _transform(chunk: Buffer, _: BufferEncoding, callback: TransformCallback): void {
    this.#pieces = [];
    try {
      this.#frames.push(chunk);
    } catch (error) {
      return callback(error as Error);
    }
    void this.#feed(this.#pieces).then(() => callback(), (error: Error) => callback(error));
  }

  override _flush(callback: TransformCallback): void {
    callback(this.#frames.complete ? null : new BadLayer('its compressed data ends in the middle'));
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#frame.destroy();
    callback(error);
  }

  override _read(size: number): void {
    this.#frame.resume();
    super._read(size);
  }

  async #feed(pieces: ReadonlyArray<Buffer | null>): Promise<void> {
    for (const piece of pieces) {
      const frame = this.#frame;
      if (piece !== null) {
        await settled(frame, (done) => frame.write(piece, done));
        continue;
      }
      await settled(frame, (done) => frame.once('end', done).end());
      this.#frame = this.#next();
    }
  }

  #next(): Transform {
    const frame = createZstdDecompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_d_windowLogMax]: 27 } });
    frame.on('data', (piece: Buffer) => {
      if (!this.push(piece)) frame.pause();
    });
    return frame;
  }
}

async function settled(stream: Transform, act: (done: (error?: Error | null) => void) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.once('error', reject);
  act((error) => (error ? reject(error) : resolve()));
  await promise;
  stream.off('error', reject);
}
