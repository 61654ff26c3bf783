import { close, open, read } from 'node:fs';
import { promisify } from 'node:util';
import type { Log, Segment } from './log.ts';
import { MAX_RECORD_BYTES, wholeRecords } from './records.ts';

const openFile = promisify(open);
const readAt = promisify(read);

/** Twice the longest record, so that a read always holds a whole one. */
const READ_BYTES = 2 * MAX_RECORD_BYTES;

/** The log, or the part a reader wanted, is not there any more. */
export class LogLost extends Error {}

/** Reads a log's records in order. Whoever makes one closes it. */
export class LogReader {
  readonly #log: Log;
  readonly #from: number;
  readonly #to: number | null;
  readonly #moved: (done: boolean) => void;
  #position: number;
  #holding = false;
  #buffer: Buffer | null = null;
  #file: { readonly segment: Segment; readonly fd: number } | null = null;
  #wake: (() => void) | null = null;
  #abandoned = false;
  #onAbandon: (() => void) | null = null;
  #progressMs = performance.now();

  /** @param to where to stop; null: where the log is closed */
  constructor(log: Log, from: number, to: number | null, moved: (done: boolean) => void) {
    this.#log = log;
    this.#from = from;
    this.#to = to;
    this.#position = from;
    this.#moved = moved;
  }

  /** Nothing from here on may be dropped. */
  get pinned(): number {
    return this.#abandoned ? Infinity : this.#holding ? this.#from : this.#position;
  }

  get progressMs(): number {
    return this.#progressMs;
  }

  /** Keeps what has been read, so that it can be read again after `rewind`. */
  hold(): void {
    this.#holding = true;
  }

  rewind(): void {
    this.#position = this.#from;
  }

  /** @param listener called when the log stops waiting for this reader: end the connection */
  onAbandon(listener: () => void): void {
    this.#onAbandon = listener;
    if (this.#abandoned) listener();
  }

  abandon(): void {
    if (this.#abandoned) return;
    this.#abandoned = true;
    this.#onAbandon?.();
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = null;
  }

  /** Whole records, or null at the end. The buffer is only valid until the next call. Throws `LogLost`. */
  async next(): Promise<Buffer | null> {
    this.#progressMs = performance.now();
    for (;;) {
      if (this.#abandoned) throw new LogLost('the log is not kept any longer');
      if (this.#to !== null && this.#position >= this.#to) return null;
      const parts = this.#log.inMemory(this.#position);
      if (parts === null) return this.#advance(await this.#fromFile());
      if (parts.length > 0) return this.#advance(gather(parts));
      if (this.#log.closed) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  close(): void {
    this.#abandoned = true;
    this.wake();
    this.#closeFile();
    this.#moved(true);
  }

  #advance(records: Buffer): Buffer {
    const room = this.#to === null ? records.length : this.#to - this.#position;
    const taken = records.length <= room ? records : records.subarray(0, room);
    this.#position += taken.length;
    if (!this.#holding) this.#moved(false);
    return taken;
  }

  async #fromFile(): Promise<Buffer> {
    const segment = this.#log.segmentOf(this.#position);
    if (segment === null) throw new LogLost('the log is not kept any longer');
    try {
      if (this.#file?.segment !== segment) {
        this.#closeFile();
        this.#file = { segment, fd: await openFile(segment.path, 'r') };
      }
      this.#buffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
      const length = Math.min(READ_BYTES, segment.end - this.#position);
      const { bytesRead } = await readAt(this.#file.fd, this.#buffer, 0, length, this.#position - segment.start);
      const whole = wholeRecords(this.#buffer.subarray(0, bytesRead));
      if (whole > 0) return this.#buffer.subarray(0, whole);
    } catch (error) {
      throw new LogLost((error as Error).message);
    } finally {
      if (this.#abandoned) this.#closeFile();
    }
    throw new LogLost('the log file has been changed');
  }

  #closeFile(): void {
    if (this.#file !== null) close(this.#file.fd, () => undefined);
    this.#file = null;
  }
}

function gather(parts: readonly Buffer[]): Buffer {
  if (parts.length === 1) return parts[0]!;
  let count = 0;
  for (let bytes = 0; count < parts.length && bytes < READ_BYTES; count++) bytes += parts[count]!.length;
  return Buffer.concat(parts.slice(0, count));
}
