import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Terminals by system calls. Node can open the master side, close-on-exec as everything it opens, but has no ioctl to unlock and
 * to size it: that one function comes from koffi, whose native file lies beside this program and is loaded with the first terminal.
 */
interface Koffi {
  load(library: string): { func(prototype: string): (...args: unknown[]) => number };
  errno(): number;
}

/** linux/ioctls.h; the same on x86-64 and arm64. */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;

let loaded: { readonly koffi: Koffi; readonly ioctl: (fd: number, request: number, argument: Buffer) => number } | null = null;

function ioctl(fd: number, request: number, argument: Buffer): void {
  if (loaded === null) {
    const module = { exports: {} as Koffi };
    process.dlopen(module, join(__dirname, 'koffi.node'));
    loaded = { koffi: module.exports, ioctl: module.exports.load('libc.so.6').func('int ioctl(int fd, unsigned long request, void *argument)') };
  }
  if (loaded.ioctl(fd, request, argument) < 0) throw new Error(`ioctl ${request.toString(16)} on a terminal failed with errno ${loaded.koffi.errno()}`);
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
