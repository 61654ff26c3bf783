import { closeSync, openSync } from 'node:fs';
import { check, declare } from './libc.ts';

/** Namespace kinds, as setns(2) and unshare(2) name them. */
export const CLONE = { NEWNS: 0x20000, NEWUTS: 0x4000000, NEWIPC: 0x8000000, NEWUSER: 0x10000000, NEWPID: 0x20000000, NEWNET: 0x40000000 } as const;

const cSetns = declare('int setns(int fd, int kind)');
const cUnshare = declare('int unshare(int flags)');

/** setns(2) of the calling thread only. @param kind one of CLONE, 0 for any */
export function setns(fd: number, kind = 0): void {
  check(cSetns(fd, kind), 'setns');
}

/** unshare(2) of the calling thread only. */
export function unshare(flags: number): void {
  check(cUnshare(flags), 'unshare');
}

/**
 * Runs a synchronous function with the main thread inside another network namespace: sockets it creates and processes
 * it spawns stay there. Nothing else of the process is affected.
 */
export function inNetNs<T>(path: string, run: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    const target = openSync(path, 'r');
    try {
      setns(target, CLONE.NEWNET);
    } finally {
      closeSync(target);
    }
    try {
      return run();
    } finally {
      setns(home, CLONE.NEWNET);
    }
  } finally {
    closeSync(home);
  }
}
