import { constants } from 'node:os';

/** errno number → symbolic name, for example 17 → 'EEXIST'. */
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** Linux errnos that Node's table lacks. */
const EXTRA: Readonly<Record<number, string>> = { 122: 'EDQUOT', 117: 'EUCLEAN', 123: 'ENOMEDIUM', 22: 'EINVAL', 15: 'ENOTBLK' };

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? EXTRA[errno] ?? `E${errno}`;
}

/** A system call that failed. Has the fields of Node's own system errors, so `error.code === 'EEXIST'` works for both. */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | null;

  constructor(syscall: string, errno: number, path: string | null) {
    super(`${syscall}${path === null ? '' : ` ${path}`}: ${errnoName(errno)}`);
    this.code = errnoName(errno);
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** Symbolic errno of anything thrown by Node's fs or by this folder; null when it is no system error. */
export function errorCode(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : null;
}
