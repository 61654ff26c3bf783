import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

const LOCK_EX = 2;
const LOCK_NB = 4;

/** An exclusive lock that ends with its holder, however the holder ends. */
export interface Lock {
  release(): void;
}

/** @returns null when another process holds it */
export function tryLock(path: string): Lock | null {
  const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)') as (fd: number, operation: number) => number;
  const fd = openSync(path, 'a', 0o600); // close-on-exec: children do not keep the lock
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(fd);
    return null;
  }
  return { release: () => closeSync(fd) };
}
