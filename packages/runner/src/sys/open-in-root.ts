import { SYS, check, declare } from './libc.ts';

const openat2 = declare('long syscall(long nr, int dfd, const char* path, void* how, unsigned long size)');

/** struct open_how { u64 flags; u64 mode; u64 resolve; }, 24 bytes. */
const OPEN_HOW_SIZE = 24;
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_IN_ROOT = 0x10n;
const O_CLOEXEC = 0o2000000;

/**
 * Opens a path of an untrusted tree. `..` and symlinks, absolute ones too, resolve as after a chroot into `rootFd`: the
 * result is always inside.
 * @param flags O_* of node:fs constants
 */
export function openInRoot(rootFd: number, path: string, flags: number): number {
  const how = Buffer.alloc(OPEN_HOW_SIZE);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, 16);
  return check(openat2(SYS.openat2, rootFd, path, how, OPEN_HOW_SIZE), 'openat2', path);
}
