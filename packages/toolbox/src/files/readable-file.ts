import { close as closeFd, constants, fstat as fstatFd, open as openFd, read as readFd } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { fail, fromErrno } from '../errors.ts';

const open = promisify(openFd);
const fstat = promisify(fstatFd);
const read = promisify(readFd);
const close = promisify(closeFd);

/** Read at a time: large enough that a gigabyte costs few thread-pool trips, small enough for two per transfer. */
export const READ_BYTES = 256 * 1024;

/** A regular file being sent. Owner calls `close`. */
export interface ReadableFile {
  readonly fd: number;
  /**
   * Bytes it holds. Known from the first read when that reached the end, because files of /proc and /sys misstate their size;
   * null for a file that claims to be empty and is longer than one read.
   */
  readonly size: number | null;
  readonly modified: Date;
  readonly first: Buffer;
}

/** Opens a file without ever waiting: a named pipe would block an ordinary open until somebody writes. */
export async function openReadable(path: string): Promise<ReadableFile> {
  let fd: number | null = null;
  try {
    fd = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stat = await fstat(fd);
    if (stat.isDirectory()) throw fail('INVALID_FILE_PATH', `is a directory, not a file: ${path}`);
    if (!stat.isFile()) throw fail('INVALID_FILE_PATH', `not a regular file: ${path}`);
    const wanted = stat.size > 0 && stat.size < READ_BYTES ? stat.size + 1 : READ_BYTES;
    const buffer = Buffer.allocUnsafe(wanted);
    let got = 0;
    while (got < wanted) {
      const { bytesRead } = await read(fd, buffer, got, wanted - got, got);
      if (bytesRead === 0) return { fd, size: got, modified: stat.mtime, first: buffer.subarray(0, got) };
      got += bytesRead;
    }
    return { fd, size: stat.size === 0 ? null : stat.size, modified: stat.mtime, first: buffer };
  } catch (error) {
    if (fd !== null) await close(fd);
    throw fromErrno(error, path);
  }
}

export const closeReadable = (file: ReadableFile): Promise<void> => close(file.fd);

/** The file ended before the promised number of bytes, or cannot be read on: what was sent must not look complete. */
export class Truncated extends Error {}

/**
 * Sends `[from, from + length)`, or to the end when length is null; at the reader's pace, with two buffers taking turns.
 * @returns false when the client went away
 */
export async function sendRange(file: ReadableFile, response: ServerResponse, from: number, length: number | null): Promise<boolean> {
  let at = from;
  const end = length === null ? Number.POSITIVE_INFINITY : from + length;
  if (at < file.first.length) {
    const head = file.first.subarray(at, Math.min(end, file.first.length));
    at += head.length;
    if (head.length > 0 && !response.write(head)) await drained(response);
  }
  if (at >= end || file.first.length === file.size) return finish(at, end, response);

  const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)];
  const free: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
  for (let turn = 0; at < end; turn = 1 - turn) {
    await free[turn];
    if (response.destroyed) return false;
    const { bytesRead } = await read(file.fd, buffers[turn]!, 0, Math.min(READ_BYTES, end - at), at).catch((error: unknown) => {
      throw new Truncated(String(error));
    });
    if (bytesRead === 0) break;
    at += bytesRead;
    // The buffer is free again when the socket has taken it, or when there is no socket any more.
    free[turn] = new Promise((resolve) => {
      response.write(buffers[turn]!.subarray(0, bytesRead), resolve);
      if (response.destroyed) resolve(undefined);
    });
  }
  await Promise.all(free);
  return finish(at, end, response);
}

function finish(at: number, end: number, response: ServerResponse): boolean {
  if (end !== Number.POSITIVE_INFINITY && at < end) throw new Truncated('the file became shorter while it was read');
  return !response.destroyed;
}

export async function drained(response: ServerResponse): Promise<void> {
  if (!response.destroyed) await Promise.race([once(response, 'drain'), once(response, 'close')]);
}
