import type { Filter } from './run.ts';

/** Wire: a line of output that starts with this is not output but one artifact as JSON. Known to clients, byte for byte. */
const MARKER = Buffer.from('dtn_artifact_k39fd2:');
const NEWLINE = 0x0a;
const NEWLINE_MARKER = Buffer.concat([Buffer.from([NEWLINE]), MARKER]);

/** Longest artifact line. A figure's picture takes some hundred KiB as base64. */
const MAX_LINE_BYTES = 32 * 1024 * 1024;

/** Takes artifact lines out of a command's output while it passes. */
export class Artifacts {
  readonly charts: unknown[] = [];
  /** Start of a line that may still turn out to be an artifact's, or the artifact so far. */
  #line: Buffer[] = [];
  #lineBytes = 0;
  #state: 'line-start' | 'text' | 'artifact' = 'line-start';

  readonly filter: Filter = (chunk, keep, end) => {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'text') {
        at = this.#pass(chunk, at, keep);
      } else {
        at = this.#state === 'line-start' ? this.#compare(chunk, at, keep) : this.#collect(chunk, at, keep);
      }
    }
    if (!end) return;
    if (this.#state === 'artifact') this.#finish();
    else this.#giveBack(keep);
  };

  /** Gives on everything up to the next line that begins like an artifact. */
  #pass(chunk: Buffer, at: number, keep: (chunk: Buffer) => void): number {
    const found = chunk.indexOf(NEWLINE_MARKER, at);
    const lastLine = found >= 0 ? found + 1 : chunk.lastIndexOf(NEWLINE) + 1;
    const suspicious = found >= 0 || (lastLine > at && chunk.length - lastLine < MARKER.length);
    const next = suspicious ? lastLine : chunk.length;
    keep(chunk.subarray(at, next));
    if (suspicious) this.#state = 'line-start';
    return next;
  }

  /** Compares with the marker as far as the chunk goes. */
  #compare(chunk: Buffer, at: number, keep: (chunk: Buffer) => void): number {
    const wanted = Math.min(MARKER.length - this.#lineBytes, chunk.length - at);
    const piece = chunk.subarray(at, at + wanted);
    if (!piece.equals(MARKER.subarray(this.#lineBytes, this.#lineBytes + wanted))) {
      this.#giveBack(keep);
      this.#state = 'text';
      return at;
    }
    this.#hold(piece);
    if (this.#lineBytes === MARKER.length) this.#state = 'artifact';
    return at + wanted;
  }

  #collect(chunk: Buffer, at: number, keep: (chunk: Buffer) => void): number {
    const newline = chunk.indexOf(NEWLINE, at);
    const next = newline < 0 ? chunk.length : newline;
    this.#hold(chunk.subarray(at, next));
    if (this.#lineBytes > MAX_LINE_BYTES) {
      this.#giveBack(keep);
      this.#state = 'text';
      return next;
    }
    if (newline < 0) return next;
    this.#finish();
    this.#state = 'line-start';
    return newline + 1;
  }

  #hold(piece: Buffer): void {
    this.#line.push(piece);
    this.#lineBytes += piece.length;
  }

  #giveBack(keep: (chunk: Buffer) => void): void {
    for (const piece of this.#line) keep(piece);
    this.#clear();
  }

  #finish(): void {
    try {
      const artifact = JSON.parse(Buffer.concat(this.#line).subarray(MARKER.length).toString('utf8')) as { type?: unknown; value?: unknown };
      if (artifact.type === 'chart' && typeof artifact.value === 'object' && artifact.value !== null) this.charts.push(artifact.value);
    } catch {
      // Not ours after all; the line is dropped as the wire says of every line with the marker.
    }
    this.#clear();
  }

  #clear(): void {
    this.#line = [];
    this.#lineBytes = 0;
  }
}
