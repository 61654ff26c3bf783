import { insideOf, type ServerChannel } from './library.ts';

/** Bytes that wait for the peer's window before a source is asked to wait. */
const HIGH_WATER_BYTES = 256 * 1024;

export type Side = 'stdout' | 'stderr';

interface Piece {
  readonly side: Side;
  readonly chunk: Buffer;
}

/**
 * Our direction of a channel. stdout and stderr share the peer's window, and `ssh2` mixes up their pieces when both wait for it: it
 * never forgets a piece that has waited and sends it again. So one piece is with it at a time, and it forgets the last one before.
 */
export class Outlet {
  readonly #channel: ServerChannel;
  readonly #drained: () => void;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #writing = false;
  #closed = false;
  #full = false;
  #whenEmpty: (() => void) | null = null;

  /** @param drained called when there is room again after `write` said false */
  constructor(channel: ServerChannel, drained: () => void) {
    this.#channel = channel;
    this.#drained = drained;
    channel.once('close', () => this.close());
  }

  /** @returns false when the source should wait for `drained` */
  write(chunk: Buffer, side: Side = 'stdout'): boolean {
    if (this.#closed || chunk.length === 0) return true;
    this.#queue.push({ side, chunk });
    this.#queuedBytes += chunk.length;
    this.#next();
    if (this.#queuedBytes > HIGH_WATER_BYTES) this.#full = true;
    return !this.#full;
  }

  /** Ends our direction once all is sent; the peer's stays open. */
  eof(): void {
    this.#afterAll(() => insideOf(this.#channel).eof());
  }

  /** Closes the channel once all is sent. */
  end(): void {
    this.#afterAll(() => this.#channel.end());
  }

  /** Nobody takes anything any more: what waits is dropped, and sources run free. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    if (this.#full) this.#drained();
    this.#full = false;
  }

  #afterAll(act: () => void): void {
    if (this.#closed) return;
    if (!this.#writing && this.#queue.length === 0) act();
    else this.#whenEmpty = act;
  }

  #next(): void {
    if (this.#writing || this.#closed) return;
    const piece = this.#queue.shift();
    if (piece === undefined) {
      const act = this.#whenEmpty;
      this.#whenEmpty = null;
      act?.();
      return;
    }
    this.#writing = true;
    const inside = insideOf(this.#channel);
    inside._chunk = inside._chunkcb = inside._chunkErr = inside._chunkcbErr = undefined;
    (piece.side === 'stdout' ? this.#channel : this.#channel.stderr).write(piece.chunk, () => {
      this.#writing = false;
      this.#queuedBytes = Math.max(0, this.#queuedBytes - piece.chunk.length);
      if (this.#full && this.#queuedBytes <= HIGH_WATER_BYTES / 2) {
        this.#full = false;
        this.#drained();
      }
      this.#next();
    });
  }
}
