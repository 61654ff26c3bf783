/** Finds where the frames of a zstd stream end (RFC 8878, section 3.1), without decompressing them. */
import { BadLayer } from './tar-entry.ts';

export interface FrameSink {
  /** Bytes of the frame at hand. */
  data(piece: Buffer): void;
  end(): void;
}

const FRAME = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
/** Bytes of a frame header after its first five, by the flags in the descriptor. */
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const SIZE_BYTES = [0, 2, 4, 8] as const;

type State = 'magic' | 'skip-size' | 'skip' | 'descriptor' | 'header' | 'block' | 'content' | 'checksum';

export class ZstdFrames {
  readonly #sink: FrameSink;
  #state: State = 'magic';
  #small = Buffer.alloc(4);
  #filled = 0;
  #left = 0;
  #checksum = false;
  #last = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Nothing is missing if the stream ends here. */
  get complete(): boolean {
    return this.#state === 'magic' && this.#filled === 0;
  }

  push(chunk: Buffer): void {
    let at = 0;
    // Start of what belongs to the frame and was not passed on.
    let from = this.#inFrame() ? 0 : -1;
    const pass = (to: number): void => {
      if (from >= 0 && to > from) this.#sink.data(chunk.subarray(from, to));
      from = -1;
    };
    while (at < chunk.length) {
      if (this.#state === 'skip' || this.#state === 'content' || this.#state === 'header') {
        const taken = Math.min(this.#left, chunk.length - at);
        at += taken;
        this.#left -= taken;
        if (this.#left > 0) break;
        if (this.#state === 'skip') this.#become('magic');
        else if (this.#state === 'header' || !this.#last) this.#become('block');
        else if (this.#checksum) this.#become('checksum');
        else this.#endFrame(() => pass(at));
        continue;
      }
      const wanted = this.#state === 'descriptor' ? 1 : this.#state === 'block' ? 3 : 4;
      const taken = Math.min(wanted - this.#filled, chunk.length - at);
      chunk.copy(this.#small, this.#filled, at, at + taken);
      this.#filled += taken;
      at += taken;
      if (this.#filled < wanted) break;
      this.#filled = 0;
      switch (this.#state) {
        case 'magic': {
          const magic = this.#small.readUInt32LE(0);
          if (magic === FRAME) {
            this.#sink.data(Buffer.from(this.#small));
            from = at;
            this.#become('descriptor');
          } else if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
            this.#become('skip-size');
          } else {
            throw new BadLayer('its compressed data is damaged');
          }
          break;
        }
        case 'skip-size':
          this.#left = this.#small.readUInt32LE(0);
          this.#become(this.#left === 0 ? 'magic' : 'skip');
          break;
        case 'descriptor': this.#descriptor(this.#small[0]!); break;
        case 'block': this.#block(this.#small.readUIntLE(0, 3), () => pass(at)); break;
        default: this.#endFrame(() => pass(at));
      }
    }
    pass(chunk.length);
  }

  #descriptor(flags: number): void {
    const single = (flags & 0x20) !== 0;
    const sizeFlag = flags >> 6;
    const size = sizeFlag === 0 && single ? 1 : SIZE_BYTES[sizeFlag as 0 | 1 | 2 | 3];
    this.#checksum = (flags & 0x04) !== 0;
    this.#left = (single ? 0 : 1) + DICTIONARY_BYTES[(flags & 3) as 0 | 1 | 2 | 3] + size;
    this.#become(this.#left === 0 ? 'block' : 'header');
  }

  #block(header: number, pass: () => void): void {
    this.#last = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    if (type === 3) throw new BadLayer('its compressed data is damaged');
    this.#left = type === 1 ? 1 : header >> 3; // a repeated byte is stored once
    if (this.#left > 0) return this.#become('content');
    if (!this.#last) return this.#become('block');
    if (this.#checksum) return this.#become('checksum');
    this.#endFrame(pass);
  }

  #endFrame(pass: () => void): void {
    pass();
    this.#sink.end();
    this.#become('magic');
  }

  #become(state: State): void {
    this.#state = state;
  }

  #inFrame(): boolean {
    return !['magic', 'skip-size', 'skip'].includes(this.#state);
  }
}
