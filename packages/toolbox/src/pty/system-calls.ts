import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Terminals and pipes by system calls. Node can open a terminal's master side, close-on-exec as everything it opens, but has no ioctl
 * to unlock and to size it, and no pipes: these come from koffi, whose native file lies beside this program and is loaded with the first
 * of them.
 */
interface Koffi {
  load(library: string): { func(prototype: string): (...args: unknown[]) => number };
  errno(): number;
}

/** linux/ioctls.h; the same on x86-64 and arm64. */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;

interface Calls {
  readonly koffi: Koffi;
  readonly ioctl: (fd: number, request: number, argument: Buffer) => number;
  readonly pipe: (fds: Buffer, flags: number) => number;
  readonly mallocTrim: (pad: number) => number;
}

let loaded: Calls | null = null;

function calls(): Calls {
  if (loaded === null) {
    const module = { exports: {} as Koffi };
    process.dlopen(module, join(__dirname, 'koffi.node'));
    const libc = module.exports.load('libc.so.6');
    loaded = {
      koffi: module.exports,
      ioctl: libc.func('int ioctl(int fd, unsigned long request, void *argument)'),
      pipe: libc.func('int pipe2(void *fds, int flags)'),
      mallocTrim: libc.func('int malloc_trim(size_t pad)'),
    };
  }
  return loaded;
}

function ioctl(fd: number, request: number, argument: Buffer): void {
  const { ioctl, koffi } = calls();
  if (ioctl(fd, request, argument) < 0) throw new Error(`ioctl ${request.toString(16)} on a terminal failed with errno ${koffi.errno()}`);
}

/** fcntl.h; the same on x86-64 and arm64. Node does not export it because all it opens has it. */
const O_CLOEXEC = 0o2000000;

/** A pipe without a name: opening its reading end once more, as `cat /dev/stdin` does, does not wait for a writer that has closed. */
export function openPipe(): { readonly readFd: number; readonly writeFd: number } {
  const fds = Buffer.alloc(8);
  const { pipe, koffi } = calls();
  if (pipe(fds, O_CLOEXEC) < 0) throw new Error(`a pipe cannot be made: errno ${koffi.errno()}`);
  return { readFd: fds.readInt32LE(0), writeFd: fds.readInt32LE(4) };
}

/** A new pair: the master's descriptor, non-blocking and ours, and the path of the other side. */
export function openMaster(columns: number, rows: number): { readonly fd: number; readonly slave: string } {
  const fd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  try {
    const number = Buffer.alloc(8);
    ioctl(fd, TIOCSPTLCK, number);
    ioctl(fd, TIOCGPTN, number);
    setSize(fd, columns, rows);
    return { fd, slave: `/dev/pts/${number.readUInt32LE(0)}` };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The kernel tells the foreground processes by SIGWINCH when the size is another. */
export function setSize(fd: number, columns: number, rows: number): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  ioctl(fd, TIOCSWINSZ, size);
}

/** Gives the kernel what glibc keeps for later between blocks in use: some 4 MiB after thousands of commands, in 1 ms. */
export function trimHeap(): void {
  calls().mallocTrim(0);
}
