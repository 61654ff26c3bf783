/** What making an image printed: one file an image, bounded, readable while it grows. */
import { EventEmitter, once } from 'node:events';
import { closeSync, mkdirSync, openSync, readSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A build with thousands of packages prints 2 MiB. What goes beyond is left out up to the last lines, which tell how it ended. */
const MAX_BYTES = 8 * 1024 ** 2;
const TAIL_BYTES = 64 * 1024;
const CHUNK_BYTES = 64 * 1024;

export class ImageLogs {
  readonly #dir: string;
  readonly #writing = new Map<string, LogWriter>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @param keep names of images; logs of others go */
  open(keep: ReadonlySet<string>): void {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(this.#dir)) if (!keep.has(file.replace(/\.log$/, ''))) rmSync(join(this.#dir, file), { force: true });
  }

  /** Begins the log anew. */
  write(name: string): LogWriter {
    const writer = new LogWriter(this.#file(name), () => this.#writing.delete(name));
    this.#writing.set(name, writer);
    return writer;
  }

  remove(name: string): void {
    rmSync(this.#file(name), { force: true });
  }

  /**
   * The text so far; with `follow` also what is added until the log ends. Reads at the pace of whoever iterates.
   * A log that was never written is empty.
   */
  async *read(name: string, follow: boolean, signal: AbortSignal): AsyncGenerator<Buffer> {
    const writer = this.#writing.get(name);
    let fd: number;
    try {
      fd = openSync(this.#file(name), 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    try {
      for (let at = 0; ;) {
        const ended = writer?.ended ?? true; // asked before the read: what was written last is then in the file
        const chunk = Buffer.alloc(CHUNK_BYTES);
        const length = readSync(fd, chunk, 0, chunk.length, at);
        at += length;
        if (length > 0) yield chunk.subarray(0, length);
        else if (ended || !follow) return;
        else await once(writer!.changes, 'change', { signal });
      }
    } finally {
      closeSync(fd);
    }
  }

  #file(name: string): string {
    return join(this.#dir, `${name}.log`);
  }
}

export class LogWriter {
  /** Emits `change` after every addition and at the end. */
  readonly changes = new EventEmitter().setMaxListeners(0);
  readonly #onEnd: () => void;
  /** null: there is no room even for the file. */
  readonly #fd: number | null;
  #ended = false;
  #written = 0;
  #left = 0;
  #tail = Buffer.alloc(0);

  constructor(file: string, onEnd: () => void) {
    this.#fd = unlessFull(() => openSync(file, 'w', 0o600));
    this.#onEnd = onEnd;
  }

  get ended(): boolean {
    return this.#ended;
  }

  add(text: string): void {
    if (this.#ended || text === '') return;
    const bytes = Buffer.from(text);
    const fits = bytes.subarray(0, MAX_BYTES - this.#written);
    this.#put(fits);
    const rest = bytes.subarray(fits.length);
    if (rest.length > 0) {
      this.#left += rest.length;
      this.#tail = Buffer.concat([this.#tail, rest]).subarray(-TAIL_BYTES);
    }
    if (fits.length > 0) this.changes.emit('change');
  }

  end(): void {
    if (this.#ended) return;
    if (this.#left > this.#tail.length) this.#append(Buffer.from(`\n[… ${this.#left - this.#tail.length} bytes left out …]\n`));
    this.#append(this.#tail);
    if (this.#fd !== null) closeSync(this.#fd);
    this.#ended = true;
    this.#onEnd();
    this.changes.emit('change');
  }

  #put(bytes: Buffer): void {
    this.#written += bytes.length;
    this.#append(bytes);
  }

  #append(bytes: Buffer): void {
    const fd = this.#fd;
    if (fd !== null) unlessFull(() => writeSync(fd, bytes));
  }
}

/** A log that cannot be written is no reason for an image to fail. */
function unlessFull<T>(act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return null;
  }
}
