import { execFile } from 'node:child_process';
import { closeSync, constants, existsSync, fstatSync, mkdirSync, openSync, readdirSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { GUEST_MOUNT } from '@paddock/contract';

/**
 * Real pipes for the programs we start.
 *
 * Node gives a child sockets, and a socket is not a pipe: `echo x > /dev/stderr` fails on one, and bash takes a socket on its
 * stdin for a remote login and reads ~/.bashrc. Node cannot make pipes, so named ones are made a few at a time and used again:
 * once its reader saw the end, nobody holds it.
 */

/** Made at a time. A sandbox rarely runs more commands at once; more are made on demand. */
const BATCH = 8;

/** tmpfs first: it works when the disk quota is used up. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
const PREFIX = '.paddock-pipes-';
const DIR = join(ROOT, `${PREFIX}${process.pid}`);

const free: string[] = [];
let made = 0;
let making: Promise<boolean> | null = null;

export interface Pipe {
  readonly path: string;
  /** Non-blocking, ours. */
  readonly readFd: number;
  /** Blocking, to be given to the child and closed here. */
  readonly writeFd: number;
}

/** Makes the first pipes ahead of the first command. */
export function prepare(): void {
  if (made === 0) making ??= make();
}

/** @returns null when this system cannot make named pipes */
export async function takePipe(): Promise<Pipe | null> {
  for (let attempt = 0; attempt < 3; attempt++) {
    let path = free.pop();
    while (path === undefined) {
      making ??= make();
      if (!(await making)) return null;
      path = free.pop();
    }
    const pipe = open(path);
    if (pipe) return pipe;
    // Somebody cleared the directory: none of the others is there either.
    free.length = 0;
  }
  return null;
}

/** @param ended the reader saw the end of the pipe, so no process holds it any more */
export function givePipeBack(pipe: Pipe, ended: boolean): void {
  if (ended) free.push(pipe.path);
  else unlink(pipe.path);
}

function open(path: string): Pipe | null {
  let readFd: number | null = null;
  try {
    readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    if (!fstatSync(readFd).isFIFO()) throw new Error('not a pipe');
    return { path, readFd, writeFd: openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW) };
  } catch {
    if (readFd !== null) closeSync(readFd);
    return null;
  }
}

async function make(): Promise<boolean> {
  try {
    if (made === 0) sweep();
    mkdirSync(DIR, { recursive: true, mode: 0o700 });
    const paths = Array.from({ length: BATCH }, () => join(DIR, String(made++)));
    const busybox = `${GUEST_MOUNT}/busybox`;
    const [file, args] = existsSync(busybox) ? [busybox, ['mkfifo', '-m', '600', ...paths]] : ['mkfifo', ['-m', '600', ...paths]];
    await new Promise<void>((resolve, reject) => execFile(file, args, (error) => (error === null ? resolve() : reject(error))));
    free.push(...paths);
    return true;
  } catch (error) {
    console.error(JSON.stringify({ level: 'warn', message: 'named pipes could not be made', reason: (error as Error).message }));
    return false;
  } finally {
    making = null;
  }
}

/** Removes what toolboxes that were killed left behind. */
function sweep(): void {
  process.once('exit', () => rmSync(DIR, { recursive: true, force: true }));
  for (const name of readdirSync(ROOT)) {
    if (!name.startsWith(PREFIX)) continue;
    const pid = name.slice(PREFIX.length);
    if (pid !== String(process.pid) && existsSync(`/proc/${pid}`)) continue;
    try {
      rmSync(join(ROOT, name), { recursive: true, force: true });
    } catch {
      // Another user's: the directory is sticky.
    }
  }
}

function unlink(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Already gone with its directory.
  }
}

/** Linux's O_TMPFILE: a file without a name, gone with its last descriptor. Node does not export it. */
const O_TMPFILE = 0o20200000;

/** A nameless file, first on tmpfs and, when that is full, in the temporary directory. */
export function scratchFile(dirs: readonly string[], content?: Buffer): number {
  let reason: unknown;
  for (const dir of dirs) {
    let fd: number | null = null;
    try {
      fd = openSync(dir, O_TMPFILE | constants.O_RDWR, 0o600);
      // Written at a position, so that a reader that inherits the descriptor begins at the start.
      for (let at = 0; content !== undefined && at < content.length;) at += writeSync(fd, content, at, content.length - at, at);
      return fd;
    } catch (error) {
      reason = error;
      if (fd !== null) closeSync(fd);
    }
  }
  throw reason;
}

/** A descriptor to give a child as stdin: it holds the text and ends there. */
export function stdinWith(content: Buffer): number {
  return scratchFile([ROOT, os.tmpdir(), '/var/tmp'], content);
}
