/**
 * ioctls of btrfs. Argument layouts are those of <linux/btrfs.h>; all numbers little-endian.
 * Every function takes a descriptor of some directory of the file system and returns at once unless it says otherwise.
 */
import { errorCode, ioRead, ioReadWrite, ioWrite, ioctl } from '../sys/index.ts';

const MAGIC = 0x94;

/** struct btrfs_ioctl_vol_args { s64 fd; char name[4088]; } */
const VOL_ARGS_SIZE = 4096;
const SUBVOL_CREATE = ioWrite(MAGIC, 14, VOL_ARGS_SIZE);
const SNAP_DESTROY = ioWrite(MAGIC, 15, VOL_ARGS_SIZE);
const RESIZE = ioWrite(MAGIC, 3, VOL_ARGS_SIZE);

/** struct btrfs_ioctl_quota_ctl_args { u64 cmd; u64 status; } */
const QUOTA_CTL = ioReadWrite(MAGIC, 40, 16);
const QUOTA_ENABLE = 1n;
/** Linux 6.7: an extent belongs to the subvolume that wrote it. Costs nothing on the write path, unlike ordinary qgroups. */
const QUOTA_ENABLE_SIMPLE = 4n;

/** struct btrfs_ioctl_qgroup_create_args { u64 create; u64 qgroupid; } */
const QGROUP_CREATE = ioWrite(MAGIC, 42, 16);

/** struct btrfs_ioctl_qgroup_limit_args { u64 qgroupid; u64 flags, max_rfer, max_excl, rsv_rfer, rsv_excl; }; declared _IOR though it writes. */
const QGROUP_LIMIT = ioRead(MAGIC, 43, 48);
const QGROUP_LIMIT_MAX_RFER = 1n;

/** struct btrfs_ioctl_ino_lookup_args { u64 treeid; u64 objectid; char name[4080]; } */
const INO_LOOKUP = ioReadWrite(MAGIC, 18, 4096);

/** struct btrfs_ioctl_search_args { struct btrfs_ioctl_search_key key (104 bytes); char buf[3992]; } */
const TREE_SEARCH = ioReadWrite(MAGIC, 17, 4096);
const SEARCH_KEY_SIZE = 104;
/** struct btrfs_ioctl_search_header { u64 transid, objectid, offset; u32 type, len; } */
const SEARCH_HEADER_SIZE = 32;

const MAX_U64 = (1n << 64n) - 1n;
const FIRST_FREE_OBJECTID = 256n;
const ROOT_TREE = 1n;
const QUOTA_TREE = 8n;
const ROOT_ITEM_KEY = 132;
const QGROUP_INFO_KEY = 242;

/** Offset of the superblock on the device and of the magic in it. */
const SUPERBLOCK_MAGIC_AT = 0x10000 + 0x40;
export const SUPERBLOCK_MAGIC = { at: SUPERBLOCK_MAGIC_AT, text: '_BHRfS_M' } as const;

/** @returns false when an entry of that name exists */
export function createSubvolume(parentFd: number, name: string): boolean {
  try {
    ioctl(parentFd, SUBVOL_CREATE, volArgs(name), 'BTRFS_IOC_SUBVOL_CREATE', name);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Unlinks the subvolume; the file system's cleaner frees its space after the next commit. @returns false when there was none */
export function destroySubvolume(parentFd: number, name: string): boolean {
  try {
    ioctl(parentFd, SNAP_DESTROY, volArgs(name), 'BTRFS_IOC_SNAP_DESTROY', name);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Id of the subvolume that holds the directory. */
export function subvolumeId(fd: number): bigint {
  const args = Buffer.alloc(4096);
  args.writeBigUInt64LE(FIRST_FREE_OBJECTID, 8);
  ioctl(fd, INO_LOOKUP, args, 'BTRFS_IOC_INO_LOOKUP');
  return args.readBigUInt64LE(0);
}

export type QuotaMode = 'simple' | 'full';

/** Turns quotas on; fine when they are. Ordinary qgroups are counted by a rescan that the kernel starts by itself. */
export function enableQuota(fd: number): QuotaMode {
  if (quotaControl(fd, QUOTA_ENABLE_SIMPLE)) return 'simple';
  if (quotaControl(fd, QUOTA_ENABLE)) return 'full';
  throw new Error('This kernel has no btrfs quotas.');
}

function quotaControl(fd: number, command: bigint): boolean {
  const args = Buffer.alloc(16);
  args.writeBigUInt64LE(command, 0);
  try {
    ioctl(fd, QUOTA_CTL, args, 'BTRFS_IOC_QUOTA_CTL');
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return true; // on already, possibly in the other mode
    if (errorCode(error) === 'EINVAL' || errorCode(error) === 'ENOTTY') return false;
    throw error;
  }
}

/** @param fd the subvolume's own directory @param bytes data and metadata together */
export function limitSubvolume(fd: number, bytes: number): void {
  const args = Buffer.alloc(48);
  args.writeBigUInt64LE(QGROUP_LIMIT_MAX_RFER, 8);
  args.writeBigUInt64LE(BigInt(bytes), 16);
  ioctl(fd, QGROUP_LIMIT, args, 'BTRFS_IOC_QGROUP_LIMIT');
}

/** @returns false while the kernel still counts something in it, or when it is gone */
export function removeQgroup(fd: number, id: bigint): boolean {
  const args = Buffer.alloc(16);
  args.writeBigUInt64LE(id, 8);
  try {
    ioctl(fd, QGROUP_CREATE, args, 'BTRFS_IOC_QGROUP_CREATE');
    return true;
  } catch (error) {
    if (['EBUSY', 'ENOENT', 'ENOTCONN'].includes(errorCode(error) ?? '')) return false;
    throw error;
  }
}

/** Grows the file system to the size of its device. */
export function growToDevice(fd: number): void {
  ioctl(fd, RESIZE, volArgs('max'), 'BTRFS_IOC_RESIZE');
}

/** Qgroups of subvolumes that are gone. */
export function staleQgroups(fd: number): bigint[] {
  const alive = new Set(searchTree(fd, ROOT_TREE, ROOT_ITEM_KEY).map((key) => key.objectid));
  const level = (id: bigint): bigint => id >> 48n;
  return searchTree(fd, QUOTA_TREE, QGROUP_INFO_KEY)
    .map((key) => key.offset)
    .filter((id) => level(id) === 0n && id >= FIRST_FREE_OBJECTID && !alive.has(id));
}

interface Key {
  readonly objectid: bigint;
  readonly type: number;
  readonly offset: bigint;
}

/** Keys of one type in a tree, in order. A tree that does not exist is empty. */
function searchTree(fd: number, tree: bigint, type: number): Key[] {
  const keys: Key[] = [];
  // The kernel compares whole keys (objectid, type, offset), so items of other types are among the answers.
  let from: Key | null = { objectid: 0n, type: 0, offset: 0n };
  while (from !== null) {
    const batch = searchBatch(fd, tree, from);
    keys.push(...batch.filter((key) => key.type === type));
    const last = batch.at(-1);
    from = last === undefined ? null : next(last);
  }
  return keys;
}

/** The smallest key behind this one. */
function next({ objectid, type, offset }: Key): Key | null {
  if (offset < MAX_U64) return { objectid, type, offset: offset + 1n };
  if (type < 255) return { objectid, type: type + 1, offset: 0n };
  return objectid < MAX_U64 ? { objectid: objectid + 1n, type: 0, offset: 0n } : null;
}

function searchBatch(fd: number, tree: bigint, from: Key): Key[] {
  const args = Buffer.alloc(4096);
  // u64 tree_id, min_objectid, max_objectid, min_offset, max_offset, min_transid, max_transid; u32 min_type, max_type, nr_items
  [tree, from.objectid, MAX_U64, from.offset, MAX_U64, 0n, MAX_U64].forEach((value, at) => args.writeBigUInt64LE(value, at * 8));
  args.writeUInt32LE(from.type, 56);
  args.writeUInt32LE(255, 60);
  args.writeUInt32LE(4096, 64);
  try {
    ioctl(fd, TREE_SEARCH, args, 'BTRFS_IOC_TREE_SEARCH');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const keys: Key[] = [];
  for (let item = args.readUInt32LE(64), at = SEARCH_KEY_SIZE; item > 0; item -= 1) {
    keys.push({ objectid: args.readBigUInt64LE(at + 8), offset: args.readBigUInt64LE(at + 16), type: args.readUInt32LE(at + 24) });
    at += SEARCH_HEADER_SIZE + args.readUInt32LE(at + 28);
  }
  return keys;
}

function volArgs(name: string): Buffer {
  const args = Buffer.alloc(VOL_ARGS_SIZE);
  if (name.length === 0 || Buffer.byteLength(name) >= VOL_ARGS_SIZE - 8) throw new Error('subvolume name of impossible length');
  args.write(name, 8);
  return args;
}
