/**
 * Gives image layers inode numbers that no sandbox's own file can have.
 *
 * btrfs counts inode numbers in each subvolume from 257. An overlay whose layers are all on one file system passes the
 * numbers on, so a file of a layer and a file of the sandbox's disk would often share device and number, and then `cp` and
 * `mv` refuse ("are the same file") and `find` sees loops. Layers therefore live in a subvolume whose numbers start at 2³¹:
 * numbers of disks stay below for two thousand million files, those of layers still fit the 32 bits of old programs.
 *
 * The next number is one more than the subvolume's highest, so one empty file with a high number is enough; no system call
 * makes one. It is made with an ordinary number and renumbered in the subvolume's only block while nothing is mounted.
 */
import { closeSync, constants, fsyncSync, openSync, readSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { errorCode, hiddenMount } from '../sys/index.ts';
import { SUPERBLOCK, createSubvolume, locateRoot, subvolumeId, syncFileSystem, type RootLocation } from './btrfs.ts';
import { crc32c } from './crc32c.ts';

/** Subvolume of the layers, at the top of the pool. */
export const LAYERS = 'layers';
const MARKER = '.first';

export const FIRST_LAYER_INODE = 2n ** 31n;

/** Does nothing when it has been done; then the device may be in use. */
export async function prepareInodeSpace(device: string): Promise<void> {
  const place = inspect(device);
  if (place === null) return;
  const fd = await claim(device);
  try {
    renumber(fd, place);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  if (inspect(device) !== null) throw new Error(`The file system on ${device} did not take the layers' inode numbers.`);
}

interface Place extends RootLocation {
  /** The marker's number so far. */
  readonly inode: bigint;
}

/** Makes the subvolume with the marker. @returns where its block is, or null when the marker has its final number */
function inspect(device: string): Place | null {
  const mountFd = hiddenMount('btrfs', device);
  try {
    const top = openSync(`/proc/self/fd/${mountFd}/`, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const layers = `/proc/self/fd/${top}/${LAYERS}`;
      if (createSubvolume(top, LAYERS)) writeFileSync(`${layers}/${MARKER}`, '', { mode: 0o400 });
      const dir = openSync(layers, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        if (!readdirSync(layers).includes(MARKER)) writeFileSync(`${layers}/${MARKER}`, '', { mode: 0o400 });
        const inode = statSync(`${layers}/${MARKER}`, { bigint: true }).ino;
        if (inode >= FIRST_LAYER_INODE) return null;
        if (readdirSync(layers).length > 1) throw new Error(`The storage pool on ${device} was made by an unfinished version of Paddock. Remove it.`);
        syncFileSystem(dir);
        return { ...locateRoot(dir, subvolumeId(dir)), inode };
      } finally {
        closeSync(dir);
      }
    } finally {
      closeSync(top);
    }
  } finally {
    closeSync(mountFd);
  }
}

/** Until the kernel has finished unmounting, the device is busy for whoever asks for it alone. */
async function claim(device: string): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return openSync(device, constants.O_RDWR | constants.O_EXCL);
    } catch (error) {
      if (errorCode(error) !== 'EBUSY' || attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/**
 * struct btrfs_header, 101 bytes: u8 csum[32], fsid[16]; u64 bytenr (48), flags; u8 chunk_tree_uuid[16]; u64 generation,
 * owner (88); u32 nritems (96); u8 level (100). Then struct btrfs_item, 25 bytes each: u64 objectid; u8 type; u64 offset;
 * u32 offset and size of its data, counted from the end of the header.
 */
const HEADER = { size: 101, checksum: 32, bytenr: 48, owner: 88, items: 96, level: 100 } as const;
const ITEM_SIZE = 25;

const INODE_ITEM = 1;
const INODE_REF = 12;
const DIR_ITEM = 84;
const DIR_INDEX = 96;

/** Replaces the marker's number in the block of the subvolume: in its own items and where the directory refers to it. */
function renumber(fd: number, place: Place): void {
  const superblock = read(fd, SUPERBLOCK.at, SUPERBLOCK.size);
  if (superblock.readUInt16LE(SUPERBLOCK.checksumType) !== 0) throw new Error('The file system has checksums of another kind than crc32c.');
  const block = read(fd, place.copies[0]!, superblock.readUInt32LE(SUPERBLOCK.nodeSize));
  const valid =
    block.readUInt32LE(0) === crc32c(block.subarray(HEADER.checksum)) &&
    block.readBigUInt64LE(HEADER.bytenr) === place.logical &&
    block.readBigUInt64LE(HEADER.owner) === place.subvolume &&
    block.readUInt8(HEADER.level) === 0;
  if (!valid) throw new Error('The block of the layers is not where the file system says.');
  for (let item = 0; item < block.readUInt32LE(HEADER.items); item += 1) {
    const at = HEADER.size + item * ITEM_SIZE;
    const type = block.readUInt8(at + 8);
    const dataAt = HEADER.size + block.readUInt32LE(at + 17);
    if ((type === INODE_ITEM || type === INODE_REF) && block.readBigUInt64LE(at) === place.inode) block.writeBigUInt64LE(FIRST_LAYER_INODE, at);
    // struct btrfs_dir_item starts with the key of what it names, whose first field is the number.
    if ((type === DIR_ITEM || type === DIR_INDEX) && block.readBigUInt64LE(dataAt) === place.inode) block.writeBigUInt64LE(FIRST_LAYER_INODE, dataAt);
  }
  block.writeUInt32LE(crc32c(block.subarray(HEADER.checksum)), 0);
  for (const copy of place.copies) writeSync(fd, block, 0, block.length, copy);
}

function read(fd: number, at: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  if (readSync(fd, buffer, 0, length, at) !== length) throw new Error('short read of the pool device');
  return buffer;
}
