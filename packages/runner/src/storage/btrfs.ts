/**
 * ioctls of btrfs. Argument layouts are those of <linux/btrfs.h>; all numbers little-endian.
 * Every function takes a descriptor of some directory of the file system and returns at once unless it says otherwise.
 */
import { errorCode, ioNone, ioRead, ioReadWrite, ioWrite, ioctl, ioctlInBackground, ioctlNumber } from '../sys/index.ts';

const MAGIC = 0x94;

/** struct btrfs_ioctl_vol_args { s64 fd; char name[4088]; } */
const VOL_ARGS_SIZE = 4096;
const SUBVOL_CREATE = ioWrite(MAGIC, 14, VOL_ARGS_SIZE);
const SNAP_DESTROY = ioWrite(MAGIC, 15, VOL_ARGS_SIZE);
const RESIZE = ioWrite(MAGIC, 3, VOL_ARGS_SIZE);

/** struct btrfs_ioctl_vol_args_v2 { s64 fd; u64 transid; u64 flags; u64 unused[4]; char name[4040]; } */
const SNAP_CREATE_V2 = ioWrite(MAGIC, 23, VOL_ARGS_SIZE);
const VOL_ARGS_V2_NAME = 56;
const SUBVOL_RDONLY = 2n;

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

/** struct btrfs_ioctl_fs_info_args { u64 max_id, num_devices; u8 fsid[16]; … } */
const FS_INFO = ioRead(MAGIC, 31, 1024);

/** Commits and waits for it. */
const SYNC = ioNone(MAGIC, 8);

const MAX_U64 = (1n << 64n) - 1n;
const FIRST_FREE_OBJECTID = 256n;
const ROOT_TREE = 1n;
const QUOTA_TREE = 8n;
const CHUNK_TREE = 3n;
const ROOT_ITEM_KEY = 132;
const CHUNK_ITEM_KEY = 228;
const QGROUP_INFO_KEY = 242;

/** struct btrfs_super_block: where it is on the device, and offsets in it. */
export const SUPERBLOCK = { at: 0x10000, size: 4096, magic: 64, nodeSize: 148, checksumType: 196 } as const;
export const SUPERBLOCK_MAGIC = '_BHRfS_M';

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

/**
 * A second subvolume with the files of the first as they are now. The first's dirty pages are written and the change is on the device
 * when it returns; both share the space until one of them changes.
 */
export async function snapshotSubvolume(sourceFd: number, parentFd: number, name: string, readOnly: boolean): Promise<void> {
  const args = Buffer.alloc(VOL_ARGS_SIZE);
  if (name.length === 0 || Buffer.byteLength(name) >= VOL_ARGS_SIZE - VOL_ARGS_V2_NAME) throw new Error('subvolume name of impossible length');
  args.writeBigInt64LE(BigInt(sourceFd), 0);
  args.writeBigUInt64LE(readOnly ? SUBVOL_RDONLY : 0n, 16);
  args.write(name, VOL_ARGS_V2_NAME);
  await ioctlInBackground(parentFd, SNAP_CREATE_V2, args, 'BTRFS_IOC_SNAP_CREATE_V2', name);
}

/**
 * Unlinks the subvolume; the file system's cleaner frees its space after the next commit. Takes up to seconds when many of
 * its files are in the kernel's caches, and holds the parent directory meanwhile.
 */
export async function destroySubvolume(parentFd: number, name: string): Promise<void> {
  await ioctlInBackground(parentFd, SNAP_DESTROY, volArgs(name), 'BTRFS_IOC_SNAP_DESTROY', name);
}

/** Id of the subvolume that holds the directory. */
export function subvolumeId(fd: number): bigint {
  const args = Buffer.alloc(4096);
  args.writeBigUInt64LE(FIRST_FREE_OBJECTID, 8);
  ioctl(fd, INO_LOOKUP, args, 'BTRFS_IOC_INO_LOOKUP');
  return args.readBigUInt64LE(0);
}

/** As the kernel writes it in the names below /sys/fs/btrfs. */
export function fileSystemId(fd: number): string {
  const args = Buffer.alloc(1024);
  ioctl(fd, FS_INFO, args, 'BTRFS_IOC_FS_INFO');
  return args.toString('hex', 16, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
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

/** @param fd the subvolume's own directory @param bytes data and metadata together; null: no limit */
export function limitSubvolume(fd: number, bytes: number | null): void {
  const args = Buffer.alloc(48);
  args.writeBigUInt64LE(QGROUP_LIMIT_MAX_RFER, 8);
  args.writeBigUInt64LE(bytes === null ? MAX_U64 : BigInt(bytes), 16);
  ioctl(fd, QGROUP_LIMIT, args, 'BTRFS_IOC_QGROUP_LIMIT');
}

/** Bytes that count against a subvolume's limit, as of the last commit; 0 where nothing is counted. */
export function chargedBytes(fd: number, subvolume: bigint): number {
  // struct btrfs_qgroup_info_item: u64 generation, rfer, rfer_cmpr, excl, excl_cmpr
  const item = searchTree(fd, QUOTA_TREE, QGROUP_INFO_KEY).find(({ offset }) => offset === subvolume);
  return item === undefined ? 0 : Number(item.data.readBigUInt64LE(8));
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

/** Writes everything to the device. Blocks; for a file system nobody uses yet. */
export function syncFileSystem(fd: number): void {
  ioctlNumber(fd, SYNC, 0, 'BTRFS_IOC_SYNC');
}

export interface RootLocation {
  readonly subvolume: bigint;
  /** Address of the root block in the file system, as block headers state it. */
  readonly logical: bigint;
  /** Byte offsets of its copies on the one device. */
  readonly copies: readonly number[];
}

/** Where the top block of a subvolume's tree is on disk; true until the next commit. */
export function locateRoot(fd: number, subvolume: bigint): RootLocation {
  const root = searchTree(fd, ROOT_TREE, ROOT_ITEM_KEY).find(({ objectid }) => objectid === subvolume);
  if (root === undefined) throw new Error(`no subvolume ${subvolume}`);
  // struct btrfs_root_item: struct btrfs_inode_item (160 bytes); u64 generation, root_dirid, bytenr
  const logical = root.data.readBigUInt64LE(176);
  for (const { offset, data } of searchTree(fd, CHUNK_TREE, CHUNK_ITEM_KEY)) {
    // struct btrfs_chunk: u64 length, owner, stripe_len, type; u32 io_align, io_width, sector_size; u16 num_stripes, sub_stripes;
    // then stripes of 32 bytes: u64 devid, offset; u8 uuid[16]. With one device every stripe holds a copy.
    if (logical < offset || logical >= offset + data.readBigUInt64LE(0)) continue;
    const copies = Array.from({ length: data.readUInt16LE(44) }, (_, stripe) => Number(data.readBigUInt64LE(48 + stripe * 32 + 8) + logical - offset));
    return { subvolume, logical, copies };
  }
  throw new Error(`no chunk holds ${logical}`);
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

interface Item extends Key {
  readonly data: Buffer;
}

/** Items of one type in a tree, in order. A tree that does not exist is empty. */
function searchTree(fd: number, tree: bigint, type: number): Item[] {
  const items: Item[] = [];
  // The kernel compares whole keys (objectid, type, offset), so items of other types are among the answers.
  let from: Key | null = { objectid: 0n, type: 0, offset: 0n };
  while (from !== null) {
    const batch = searchBatch(fd, tree, from);
    items.push(...batch.filter((item) => item.type === type));
    const last = batch.at(-1);
    from = last === undefined ? null : next(last);
  }
  return items;
}

/** The smallest key behind this one. */
function next({ objectid, type, offset }: Key): Key | null {
  if (offset < MAX_U64) return { objectid, type, offset: offset + 1n };
  if (type < 255) return { objectid, type: type + 1, offset: 0n };
  return objectid < MAX_U64 ? { objectid: objectid + 1n, type: 0, offset: 0n } : null;
}

function searchBatch(fd: number, tree: bigint, from: Key): Item[] {
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
  const items: Item[] = [];
  for (let left = args.readUInt32LE(64), at = SEARCH_KEY_SIZE; left > 0; left -= 1) {
    const dataAt = at + SEARCH_HEADER_SIZE;
    const end = dataAt + args.readUInt32LE(at + 28);
    items.push({
      objectid: args.readBigUInt64LE(at + 8), offset: args.readBigUInt64LE(at + 16), type: args.readUInt32LE(at + 24), data: args.subarray(dataAt, end),
    });
    at = end;
  }
  return items;
}

function volArgs(name: string): Buffer {
  const args = Buffer.alloc(VOL_ARGS_SIZE);
  if (name.length === 0 || Buffer.byteLength(name) >= VOL_ARGS_SIZE - 8) throw new Error('subvolume name of impossible length');
  args.write(name, 8);
  return args;
}
