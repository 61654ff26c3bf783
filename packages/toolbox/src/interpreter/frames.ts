/** Frames between toolbox and worker: one byte of type, four of length (big endian), then the payload. */
const HEAD_BYTES = 5;

export function frameOf(kind: string, payload: string): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(kind, 0, 'latin1');
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  readonly #take: (kind: string, payload: Buffer) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = HEAD_BYTES;

  constructor(take: (kind: string, payload: Buffer) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return;
    let rest = Buffer.concat(this.#chunks);
    for (;;) {
      this.#wanted = rest.length < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + rest.readUInt32BE(1);
      if (rest.length < this.#wanted) break;
      this.#take(rest.toString('latin1', 0, 1), rest.subarray(HEAD_BYTES, this.#wanted));
      rest = rest.subarray(this.#wanted);
    }
    this.#chunks = [rest];
    this.#bytes = rest.length;
  }
}
