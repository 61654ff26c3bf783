import { closeSync, constants, openSync } from 'node:fs';
import { check, declare } from './libc.ts';

/** Namespace kinds, as setns(2) and unshare(2) name them. */
export const CLONE = { FS: 0x200, NEWNS: 0x20000, NEWUTS: 0x4000000, NEWIPC: 0x8000000, NEWUSER: 0x10000000, NEWPID: 0x20000000, NEWNET: 0x40000000 } as const;

const cSetns = declare('int setns(int fd, int kind)');
const cUnshare = declare('int unshare(int flags)');
const cFchdir = declare('int fchdir(int fd)');
const cChroot = declare('int chroot(const char* path)');

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

/**
 * Runs a synchronous function with the main thread inside another mount namespace, whose root is then `/` and the current
 * directory. Other threads stay where they are; descriptors stay what they are. Nothing but system calls belongs into `run`:
 * the runner's own files are out of reach meanwhile.
 * @param nsFd descriptor of the namespace
 */
export function inMountNs<T>(nsFd: number, run: () => T): T {
  const directory = constants.O_RDONLY | constants.O_DIRECTORY;
  const held = [openSync('/proc/thread-self/ns/mnt', 'r'), openSync('/', directory), openSync('.', directory)] as const;
  try {
    unshare(CLONE.FS); // threads share root and current directory, and whoever shares them may not change namespace
    setns(nsFd, CLONE.NEWNS);
    try {
      return run();
    } finally {
      goHome(...held);
    }
  } finally {
    for (const fd of held) closeSync(fd);
  }
}

/** A runner that cannot return would act on a sandbox's files as if they were its own: better it ends and is started again. */
function goHome(nsFd: number, rootFd: number, directoryFd: number): void {
  try {
    setns(nsFd, CLONE.NEWNS);
    check(cFchdir(rootFd), 'fchdir');
    check(cChroot('.'), 'chroot');
    check(cFchdir(directoryFd), 'fchdir');
  } catch {
    process.abort();
  }
}
