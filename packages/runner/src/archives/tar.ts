/** A disk's files as a tar stream and back, by GNU tar, with all that an overlay's upper directory has. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { RunnerError } from '../runner-error.ts';

/**
 * Whiteouts are device nodes, opaque directories extended attributes. `trusted.overlay.origin` names an inode of one pool's layers, so it
 * means nothing elsewhere. Times to the nanosecond and values of any length need the POSIX format. Access lists travel as the attributes they
 * are, by number: `--acls` writes them as text with the names that this host has for the ids.
 */
const FAITHFUL = ['--numeric-owner', '--no-acls', '--xattrs', '--xattrs-include=*', '--xattrs-exclude=trusted.overlay.origin'];

export interface Tar<Stream> {
  readonly stream: Stream;
  /** Rejects when tar fails; never unhandled. */
  readonly ended: Promise<void>;
}

/** tar reads deeper trees, but writes with the kernel's limit of 4,096 bytes, and goes by way of /proc/self/fd for attributes. */
const LONGEST_PATH_BYTES = 4_000;

/** What could not be unpacked again must not be packed. Walks the tree. @throws RunnerError */
export async function refuseLongPaths(dir: string, signal: AbortSignal): Promise<void> {
  const ending = new AbortController();
  const child = spawn('find', ['.', '-printf', '%P\\0'], { ...options(AbortSignal.any([signal, ending.signal]), 'ignore', 'pipe'), cwd: dir });
  const ended = endOf(child, 'find');
  let begun: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  for await (const chunk of child.stdout! as AsyncIterable<Buffer>) {
    let at = 0;
    for (let end = chunk.indexOf(0); end !== -1; at = end + 1, end = chunk.indexOf(0, at)) {
      if (begun.length + end - at > LONGEST_PATH_BYTES) tooLong(Buffer.concat([begun, chunk.subarray(at, end)]));
      begun = begun.subarray(0, 0);
    }
    begun = Buffer.concat([begun, chunk.subarray(at)]);
    if (begun.length > LONGEST_PATH_BYTES) tooLong(begun);
  }
  await ended;

  function tooLong(path: Buffer): never {
    ending.abort();
    throw new RunnerError('INVALID_SPEC', `A path is longer than ${LONGEST_PATH_BYTES} bytes and cannot be archived; remove or rename it: /${path.subarray(0, 100).toString()}…`);
  }
}

export function packTree(dir: string, signal: AbortSignal): Tar<Readable> {
  const child = spawn('tar', ['--create', '--format=posix', '--sparse', ...FAITHFUL, '--directory', dir, '.'], options(signal, 'ignore', 'pipe'));
  return { stream: child.stdout!, ended: endOf(child, 'tar') };
}

/** Into an empty directory. Links are made last, so that no entry is written through one. */
export function unpackTree(dir: string, signal: AbortSignal): Tar<Writable> {
  const child = spawn('tar', [
    '--extract', '--same-owner', '--same-permissions', '--delay-directory-restore', ...FAITHFUL, '--directory', dir,
  ], options(signal, 'pipe', 'ignore'));
  child.stdin!.on('error', () => {}); // tar ended; `ended` says why
  return { stream: child.stdin!, ended: endOf(child, 'tar') };
}

function options(signal: AbortSignal, stdin: 'ignore' | 'pipe', stdout: 'ignore' | 'pipe') {
  return { stdio: [stdin, stdout, 'pipe'] as ['ignore' | 'pipe', 'ignore' | 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' as const, env: { PATH: process.env['PATH'], LC_ALL: 'C' } };
}

function endOf(child: ChildProcess, program: string): Promise<void> {
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said = `${said}${text}`.slice(-2_000)));
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, killedBy) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ended with ${code ?? killedBy}: ${said.trim()}`));
    });
  });
  ended.catch(() => {}); // whoever awaits it hears of it
  return ended;
}
