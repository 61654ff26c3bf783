import { closeSync } from 'node:fs';
import { AT_EMPTY_PATH, AT_FDCWD, SYS, check, declare } from './libc.ts';

const openTree = declare('long syscall(long nr, int dfd, const char* path, unsigned int flags)');
const mountSetattr = declare('long syscall(long nr, int dfd, const char* path, unsigned int flags, void* attr, unsigned long size)');
const moveMount = declare('long syscall(long nr, int fromFd, const char* from, int toFd, const char* to, unsigned int flags)');

const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

/** Attributes of struct mount_attr. */
export const MOUNT_ATTR = { RDONLY: 0x1n, NOSUID: 0x2n, NODEV: 0x4n, NOEXEC: 0x8n, NOATIME: 0x10n, IDMAP: 0x100000n } as const;

/** struct mount_attr { u64 attr_set; u64 attr_clr; u64 propagation; u64 userns_fd; }, 32 bytes. */
const MOUNT_ATTR_SIZE = 32;
const MS_PRIVATE = 1n << 18n;

/**
 * Shows `source` at `target` with its ids mapped by a user namespace: id 0 on disk is the namespace's root, and files
 * made through the mount are stored with the ids the namespace sees. Source needs not be a mount point.
 * @param userNsFd descriptor of the user namespace
 * @param attributes further MOUNT_ATTR bits
 */
export function idmapMount(source: string, target: string, userNsFd: number, attributes: bigint = 0n): void {
  const fd = check(openTree(SYS.openTree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), 'open_tree', source);
  try {
    setAttributes(fd, userNsFd, attributes, source);
    check(moveMount(SYS.moveMount, fd, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target);
  } finally {
    closeSync(fd);
  }
}

/**
 * A mount of the directory behind a descriptor that is in no namespace yet; no path is resolved. Closing the result without
 * `attachMount` ends it.
 * @param userNsFd maps the ids as in `idmapMount`; null leaves them
 * @param attributes MOUNT_ATTR bits
 */
export function detachedMount(directoryFd: number, userNsFd: number | null, attributes: bigint): number {
  const fd = check(openTree(SYS.openTree, directoryFd, '', OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), 'open_tree');
  try {
    setAttributes(fd, userNsFd, attributes, null);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Puts a detached mount onto the directory behind a descriptor, which is in the calling thread's mount namespace. */
export function attachMount(mountFd: number, directoryFd: number): void {
  check(moveMount(SYS.moveMount, mountFd, '', directoryFd, '', MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH), 'move_mount');
}

function setAttributes(mountFd: number, userNsFd: number | null, attributes: bigint, what: string | null): void {
  const attr = Buffer.alloc(MOUNT_ATTR_SIZE);
  attr.writeBigUInt64LE(attributes | (userNsFd === null ? 0n : MOUNT_ATTR.IDMAP), 0);
  attr.writeBigUInt64LE(MS_PRIVATE, 16);
  attr.writeBigUInt64LE(BigInt(userNsFd ?? 0), 24);
  check(mountSetattr(SYS.mountSetattr, mountFd, '', AT_EMPTY_PATH, attr, MOUNT_ATTR_SIZE), 'mount_setattr', what);
}
