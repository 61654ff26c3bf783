import koffi from 'koffi';
import { SysError, errnoName } from './sys-error.ts';
import { declare } from './libc.ts';

const lseek = declare('long lseek(int fd, long offset, int whence)');
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Where data begins at or after the offset; null: only a hole follows. Moves the descriptor's position. */
export function nextData(fd: number, offset: number): number | null {
  const at = Number(lseek(fd, offset, SEEK_DATA));
  if (at >= 0) return at;
  const errno = koffi.errno();
  if (errnoName(errno) === 'ENXIO') return null;
  throw new SysError('lseek', errno, null);
}

/** Where the data at the offset ends. */
export function nextHole(fd: number, offset: number): number {
  const at = Number(lseek(fd, offset, SEEK_HOLE));
  if (at < 0) throw new SysError('lseek', koffi.errno(), null);
  return at;
}
