import { close as closeFd, constants, fstat as fstatFd, open as openFd, writev as writevFd } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { badRequest, errnoOf, fromErrno } from '../errors.ts';

const open = promisify(openFd);
const fstat = promisify(fstatFd);
const close = promisify(closeFd);
const writev: (fd: number, buffers: readonly Buffer[]) => Promise<{ bytesWritten: number }> = promisify(writevFd);

/** Data that may wait for the disk before the sender is held back. Together with one write in progress it bounds a transfer's memory. */
const WAITING_BYTES = 1024 * 1024;

/** Linux takes this many buffers in one write. */
const MAX_BUFFERS = 1024;

/**
 * Writes a stream of buffers to a file in place: the file is truncated, not replaced, so that links, special files and its
 * mode stay. While one write is on its way the following buffers gather for the next.
 */
export class FileSink {
  readonly #path: string;
  readonly #fd: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | null = null;
  #bytes = 0;
  #error: unknown = null;

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  /** @param path absolute; missing parents are made with `parentMode` */
  static async open(path: string, parentMode = 0o755): Promise<FileSink> {
    const fd = await openForWriting(path, parentMode).catch((error: unknown) => {
      throw errnoOf(error) === 'ENXIO' ? badRequest(`not a regular file: ${path}`) : fromErrno(error, path);
    });
    const stat = await fstat(fd);
    if (stat.isFIFO() || stat.isSocket()) {
      await close(fd);
      throw badRequest(`not a regular file: ${path}`);
    }
    return new FileSink(path, fd);
  }

  /** Bytes given so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns a promise when the caller should wait before it gives more, else null. Errors come out here or at `close`. */
  write(data: Buffer): Promise<void> | null {
    this.#bytes += data.length;
    this.#waiting.push(data);
    this.#waitingBytes += data.length;
    this.#writing ??= this.#flush();
    return this.#waitingBytes >= WAITING_BYTES ? this.#room() : null;
  }

  /** Waits for everything to be written and lets go of the file, whatever happened. */
  async close(): Promise<void> {
    await this.#writing;
    await close(this.#fd);
    this.#check();
  }

  async #room(): Promise<void> {
    await this.#writing;
    this.#check();
  }

  #check(): void {
    if (this.#error !== null) throw fromErrno(this.#error, this.#path);
  }

  async #flush(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting.splice(0, MAX_BUFFERS);
        this.#waitingBytes = this.#waiting.reduce((sum, buffer) => sum + buffer.length, 0);
        await this.#writeAll(batch);
      }
    } catch (error) {
      this.#error = error;
      this.#waiting = [];
      this.#waitingBytes = 0;
    } finally {
      this.#writing = null;
    }
  }

  async #writeAll(batch: readonly Buffer[]): Promise<void> {
    let left = batch;
    while (left.length > 0) {
      let { bytesWritten } = await writev(this.#fd, left);
      let whole = 0;
      while (whole < left.length && bytesWritten >= left[whole]!.length) bytesWritten -= left[whole++]!.length;
      left = left.slice(whole);
      if (bytesWritten > 0) left = [left[0]!.subarray(bytesWritten), ...left.slice(1)];
    }
  }
}

const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK | constants.O_NOCTTY;

async function openForWriting(path: string, parentMode: number): Promise<number> {
  try {
    return await open(path, FLAGS, 0o644);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    await mkdir(dirname(path), { recursive: true, mode: parentMode });
    return await open(path, FLAGS, 0o644);
  }
}
