/**
 * Shuts the calling thread's file system calls into a directory for the length of a function: absolute names, `..` and links all
 * end at that directory, by the kernel's word. Other threads of the process are not affected.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { check, declare } from '../../sys/index.ts';

const unshare = declare('int unshare(int flags)');
const fchdir = declare('int fchdir(int fd)');
const chroot = declare('int chroot(const char* path)');

const CLONE_FS = 0x200;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export class Confinement {
  readonly #inside: number;
  readonly #outside: number;

  /** Once a thread; never on the main one. */
  constructor(dir: string) {
    check(unshare(CLONE_FS), 'unshare');
    this.#inside = openSync(dir, DIRECTORY);
    this.#outside = openSync('/', DIRECTORY);
  }

  run<T>(work: () => T): T {
    enter(this.#inside);
    try {
      return work();
    } finally {
      enter(this.#outside);
    }
  }

  close(): void {
    closeSync(this.#inside);
    closeSync(this.#outside);
  }
}

function enter(fd: number): void {
  check(fchdir(fd), 'fchdir');
  check(chroot('.'), 'chroot');
}
