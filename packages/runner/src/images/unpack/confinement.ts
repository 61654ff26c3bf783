/**
 * Shuts the calling thread's file system calls into a directory: absolute names, `..` and links all end at that directory, by the
 * kernel's word. Other threads of the process are not affected, among them those of libuv's pool, which look names up for connections.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { check, declare } from '../../sys/index.ts';

const unshare = declare('int unshare(int flags)');
const fchdir = declare('int fchdir(int fd)');
const chroot = declare('int chroot(const char* path)');
const umask = declare('uint32_t umask(uint32_t mask)');

const CLONE_FS = 0x200;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export class Confinement {
  readonly #inside: number;
  readonly #outside: number;

  /** Never on the main thread. What is made inside has the mode that is asked for: the thread's umask is 0 from here on. */
  constructor(dir: string) {
    check(unshare(CLONE_FS), 'unshare');
    umask(0);
    this.#inside = openSync(dir, DIRECTORY);
    this.#outside = openSync('/', DIRECTORY);
  }

  /** A turn costs 25 µs: whoever has many small pieces of work stays inside. */
  run<T>(work: () => T): T {
    this.enter();
    try {
      return work();
    } finally {
      move(this.#outside);
    }
  }

  /** Until `close`. */
  enter(): void {
    move(this.#inside);
  }

  close(): void {
    move(this.#outside);
    closeSync(this.#inside);
    closeSync(this.#outside);
  }
}

function move(to: number): void {
  check(fchdir(to), 'fchdir');
  check(chroot('.'), 'chroot');
}
