import { SYS, check, declare, declareInBackground } from './libc.ts';
import { SysError } from './sys-error.ts';

const openat2 = declare('long syscall(long nr, int dfd, const char* path, void* how, unsigned long size)');
const mkdirat = declare('int mkdirat(int dfd, const char* name, unsigned int mode)');

const openat2InThread = declareInBackground('long syscall(long nr, int dfd, const char* path, void* how, unsigned long size)');
const mkdiratInThread = declareInBackground('int mkdirat(int dfd, const char* name, unsigned int mode)');

/** struct open_how { u64 flags; u64 mode; u64 resolve; }, 24 bytes. */
const OPEN_HOW_SIZE = 24;
const RESOLVE_NO_XDEV = 0x01n;
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_NO_SYMLINKS = 0x04n;
const RESOLVE_BENEATH = 0x08n;
const RESOLVE_IN_ROOT = 0x10n;
const BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
const O_CLOEXEC = 0o2000000;
/** Descriptor of a place in the tree: neither opens the file nor needs permission to. Missing from node:fs. */
export const O_PATH = 0o10000000;

/**
 * Opens a path of an untrusted tree. `..` and symlinks, absolute ones too, resolve as after a chroot into `rootFd`: the
 * result is always inside.
 * @param flags O_* of node:fs constants
 * @param oneMount refuses (EXDEV) to leave the mount of `rootFd`, so that no file system of a sandbox's making is asked
 */
export function openInRoot(rootFd: number, path: string, flags: number, oneMount = false): number {
  return open(rootFd, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (oneMount ? RESOLVE_NO_XDEV : 0n));
}

/** Opens a path below `directoryFd` that has neither symlinks (ELOOP) nor mounts (EXDEV) in it and nowhere leads up. */
export function openBeneath(directoryFd: number, path: string, flags: number): number {
  return open(directoryFd, path, flags, BENEATH);
}

/** mkdir(2) in a directory. @param name one segment; a symlink of that name is not followed @param mode before the umask */
export function makeDirectoryAt(directoryFd: number, name: string, mode: number): void {
  check(mkdirat(directoryFd, name, mode), 'mkdirat', name);
}

/** `openBeneath` in a thread of the pool: for file systems that may keep one waiting. The descriptor must stay open until it is done. */
export async function openBeneathLater(directoryFd: number, path: string, flags: number): Promise<number> {
  const { value, errno } = await openat2InThread(SYS.openat2, directoryFd, path, openHow(flags, BENEATH), OPEN_HOW_SIZE);
  if (value < 0) throw new SysError('openat2', errno, path);
  return value;
}

/** `makeDirectoryAt` in a thread of the pool. */
export async function makeDirectoryLater(directoryFd: number, name: string, mode: number): Promise<void> {
  const { value, errno } = await mkdiratInThread(directoryFd, name, mode);
  if (value < 0) throw new SysError('mkdirat', errno, name);
}

function open(directoryFd: number, path: string, flags: number, resolve: bigint): number {
  return check(openat2(SYS.openat2, directoryFd, path, openHow(flags, resolve), OPEN_HOW_SIZE), 'openat2', path);
}

function openHow(flags: number, resolve: bigint): Buffer {
  const how = Buffer.alloc(OPEN_HOW_SIZE);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(resolve, 16);
  return how;
}
