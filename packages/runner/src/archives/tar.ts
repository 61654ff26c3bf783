/** A disk's files as a tar stream and back, by GNU tar, with all that an overlay's upper directory has. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/**
 * Whiteouts are device nodes, opaque directories extended attributes. `trusted.overlay.origin` names an inode of one pool's layers, so it
 * means nothing elsewhere. Times to the nanosecond and values of any length need the POSIX format.
 */
const FAITHFUL = ['--numeric-owner', '--acls', '--xattrs', '--xattrs-include=*', '--xattrs-exclude=trusted.overlay.origin'];

export interface Tar<Stream> {
  readonly stream: Stream;
  /** Rejects when tar fails; never unhandled. */
  readonly ended: Promise<void>;
}

export function packTree(dir: string, signal: AbortSignal): Tar<Readable> {
  const child = spawn('tar', ['--create', '--format=posix', '--sparse', ...FAITHFUL, '--directory', dir, '.'], options(signal, 'ignore', 'pipe'));
  return { stream: child.stdout!, ended: endOf(child) };
}

/** Into an empty directory. Links are made last, so that no entry is written through one. */
export function unpackTree(dir: string, signal: AbortSignal): Tar<Writable> {
  const child = spawn('tar', [
    '--extract', '--same-owner', '--same-permissions', '--delay-directory-restore', ...FAITHFUL, '--directory', dir,
  ], options(signal, 'pipe', 'ignore'));
  child.stdin!.on('error', () => {}); // tar ended; `ended` says why
  return { stream: child.stdin!, ended: endOf(child) };
}

function options(signal: AbortSignal, stdin: 'ignore' | 'pipe', stdout: 'ignore' | 'pipe') {
  return { stdio: [stdin, stdout, 'pipe'] as ['ignore' | 'pipe', 'ignore' | 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' as const, env: { PATH: process.env['PATH'], LC_ALL: 'C' } };
}

function endOf(child: ChildProcess): Promise<void> {
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said = `${said}${text}`.slice(-2_000)));
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, killedBy) => {
      if (code === 0) resolve();
      else reject(new Error(`tar ended with ${code ?? killedBy}: ${said.trim()}`));
    });
  });
  ended.catch(() => {}); // whoever awaits it hears of it
  return ended;
}
