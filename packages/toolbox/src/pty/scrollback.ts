/** Most bytes kept of a terminal's output: several screens of text, little enough for hundreds of terminals. */
const LIMIT_BYTES = 128 * 1024;
const FIRST_BYTES = 4 * 1024;

/** The latest output of a terminal, in a ring that grows to its limit. */
export class Scrollback {
  #ring = Buffer.alloc(0);
  #start = 0;
  #length = 0;
  #dropped = false;

  push(chunk: Buffer): void {
    const wanted = this.#length + chunk.length;
    if (wanted > this.#ring.length && this.#ring.length < LIMIT_BYTES) this.#grow(wanted);
    const kept = chunk.subarray(Math.max(0, chunk.length - this.#ring.length));
    const over = Math.max(0, this.#length + chunk.length - this.#ring.length);
    if (over > 0) this.#dropped = true;
    const gone = Math.min(over, this.#length);
    this.#start = (this.#start + gone) % this.#ring.length;
    this.#length -= gone;
    const end = (this.#start + this.#length) % this.#ring.length;
    const copied = kept.copy(this.#ring, end);
    kept.copy(this.#ring, 0, copied);
    this.#length += kept.length;
  }

  /** What is kept, oldest first. Once something was dropped it begins with a whole line: half an escape sequence would garble the screen. */
  read(): Buffer {
    const toEnd = Math.min(this.#length, this.#ring.length - this.#start);
    const whole = Buffer.concat([this.#ring.subarray(this.#start, this.#start + toEnd), this.#ring.subarray(0, this.#length - toEnd)]);
    return this.#dropped ? whole.subarray(whole.indexOf(0x0a) + 1) : whole;
  }

  #grow(wanted: number): void {
    let size = Math.max(FIRST_BYTES, this.#ring.length);
    while (size < wanted && size < LIMIT_BYTES) size *= 2;
    const larger = Buffer.allocUnsafeSlow(size);
    const toEnd = Math.min(this.#length, this.#ring.length - this.#start);
    this.#ring.copy(larger, 0, this.#start, this.#start + toEnd);
    this.#ring.copy(larger, toEnd, 0, this.#length - toEnd);
    this.#ring = larger;
    this.#start = 0;
  }
}
