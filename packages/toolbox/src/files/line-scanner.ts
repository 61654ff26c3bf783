/** Wire: the search of a file ends at a line longer than this; what comes before counts. */
export const MAX_LINE_BYTES = 64 * 1024;

const NEWLINE = 0x0a;
const RETURN = 0x0d;

export interface Match {
  /** 1-based. */
  readonly line: number;
  /** Without its line end. */
  readonly content: string;
}

/** Finds the lines of a byte stream that contain a text; holds at most one line. */
export class LineScanner {
  readonly #pattern: Buffer;
  #rest: Buffer = Buffer.alloc(0);
  #line = 1;
  #stopped = false;

  constructor(pattern: Buffer) {
    this.#pattern = pattern;
  }

  /** A line was too long: nothing more will be found. */
  get stopped(): boolean {
    return this.#stopped;
  }

  *feed(chunk: Buffer): Generator<Match> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    let hit = bytes.indexOf(this.#pattern);
    for (let end = bytes.indexOf(NEWLINE, at); end >= 0; end = bytes.indexOf(NEWLINE, at)) {
      if (end - at > MAX_LINE_BYTES) return void (this.#stopped = true);
      if (hit >= 0 && hit < at) hit = bytes.indexOf(this.#pattern, at);
      if (hit >= 0 && hit + this.#pattern.length <= end) yield this.#match(bytes.subarray(at, end));
      this.#line++;
      at = end + 1;
    }
    this.#rest = bytes.subarray(at);
    if (this.#rest.length > MAX_LINE_BYTES) this.#stopped = true;
  }

  /** The last line, when it has no line end. */
  *end(): Generator<Match> {
    if (!this.#stopped && this.#rest.includes(this.#pattern)) yield this.#match(this.#rest);
  }

  #match(line: Buffer): Match {
    const end = line.at(-1) === RETURN ? line.length - 1 : line.length;
    return { line: this.#line, content: line.toString('utf8', 0, end) };
  }
}
