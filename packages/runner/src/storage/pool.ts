/** The btrfs file system under everything the runner stores: a block device, or a sparse file attached as one. */
import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MS, errorCode, ioctl, mount, unmountAll } from '../sys/index.ts';
import { SUPERBLOCK, SUPERBLOCK_MAGIC, growToDevice } from './btrfs.ts';
import { prepareInodeSpace } from './inode-space.ts';
import { attachLoop, refreshCapacity } from './loop-device.ts';

const GIB = 1024 ** 3;

/**
 * What must be free below a new pool file. The image takes 0.5 GiB, its build as much again for a moment, and btrfs is
 * unpleasant below 1 GiB. A pool that finds no room when it writes turns read-only under all sandboxes, so start refuses.
 */
export const MIN_FREE_BYTES = 3 * GIB;

export interface PoolSettings {
  readonly dataDir: string;
  readonly sizeGiB: number;
  readonly device: string | null;
  readonly label: string;
}

export interface Pool {
  /** Where it is mounted; 0700. */
  readonly dir: string;
  /** The sparse file, null on a device. */
  readonly file: string | null;
}

export async function openPool(settings: PoolSettings): Promise<Pool> {
  const dir = join(settings.dataDir, 'pool');
  mkdirSync(settings.dataDir, { recursive: true });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (settings.device === null) {
    const file = join(settings.dataDir, 'pool.img');
    await makePoolFile(file, settings);
    const grown = growFile(file, settings.sizeGiB * GIB);
    const loop = attachLoop(file);
    try {
      if (grown) refreshCapacity(loop.fd);
      await prepareInodeSpace(loop.path);
      await mountPool(loop.path, dir);
    } finally {
      closeSync(loop.fd);
    }
    if (grown) withDirectory(dir, growToDevice);
    return { dir, file };
  }
  if (!isBtrfs(settings.device)) await makeFileSystem(settings.device, settings.label, []);
  await prepareInodeSpace(settings.device);
  await mountPool(settings.device, dir);
  return { dir, file: null };
}

/** The last user of the file system frees the loop device: the runner, or the sandboxes it leaves running. */
export function closePool(pool: Pool): void {
  unmountAll(pool.dir);
}

export function withDirectory<T>(path: string, run: (fd: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return run(fd);
  } finally {
    closeSync(fd);
  }
}

/** Under its final name a pool file is always whole: the file system is made under another name. */
async function makePoolFile(file: string, settings: PoolSettings): Promise<void> {
  const unfinished = `${file}.new`;
  rmSync(unfinished, { force: true });
  if (statSync(file, { throwIfNoEntry: false }) !== undefined) return;
  const below = statfsSync(dirname(file));
  const free = below.bavail * below.bsize;
  if (free < MIN_FREE_BYTES) {
    throw new Error(
      `The storage pool needs at least ${MIN_FREE_BYTES / GIB} GiB, but ${dirname(file)} has ${(free / GIB).toFixed(1)} GiB free. ` +
        'Free some space, or point PADDOCK_DATA_DIR at a larger file system.',
    );
  }
  const fd = openSync(unfinished, 'wx', 0o600);
  try {
    disableCopyOnWrite(fd);
    ftruncateSync(fd, settings.sizeGiB * GIB);
  } finally {
    closeSync(fd);
  }
  // One copy of metadata: two in the same file protect from nothing and cost a write each.
  await makeFileSystem(unfinished, settings.label, ['--metadata', 'single', '--data', 'single', '--nodiscard']);
  renameSync(unfinished, file);
}

/** @returns whether it was smaller. A pool never shrinks. */
function growFile(file: string, bytes: number): boolean {
  const fd = openSync(file, constants.O_RDWR);
  try {
    if (fstatSync(fd).size >= bytes) return false;
    ftruncateSync(fd, bytes);
    return true;
  } finally {
    closeSync(fd);
  }
}

const FS_IOC_SETFLAGS = 0x40086602n;
const FS_NOCOW_FL = 0x00800000;

/** btrfs on btrfs would copy on write twice. Only btrfs knows the flag. */
function disableCopyOnWrite(fd: number): void {
  const flags = Buffer.alloc(8);
  flags.writeUInt32LE(FS_NOCOW_FL);
  try {
    ioctl(fd, FS_IOC_SETFLAGS, flags, 'FS_IOC_SETFLAGS');
  } catch (error) {
    if (!['EOPNOTSUPP', 'ENOTSUP', 'ENOTTY', 'EINVAL'].includes(errorCode(error) ?? '')) throw error;
  }
}

/** mkfs writes a different magic until it is done: a device it was killed on is not taken for finished. */
function isBtrfs(device: string): boolean {
  const fd = openSync(device, constants.O_RDONLY);
  try {
    const magic = Buffer.alloc(SUPERBLOCK_MAGIC.length);
    readSync(fd, magic, 0, magic.length, SUPERBLOCK.at + SUPERBLOCK.magic);
    return magic.toString('latin1') === SUPERBLOCK_MAGIC;
  } finally {
    closeSync(fd);
  }
}

/** Without `--force`: mkfs refuses a device that holds another file system, and so protects someone's data. */
function makeFileSystem(target: string, label: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('mkfs.btrfs', ['--quiet', '--label', label, ...args, target], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`mkfs.btrfs ${target} failed (${code}): ${output.trim().slice(-1000)}`));
    });
  });
}

/** The file system of a runner that was just killed needs a moment to unmount; until then its device is busy. */
const BUSY_ATTEMPTS = 100;
const BUSY_PAUSE_MS = 100;

async function mountPool(device: string, dir: string): Promise<void> {
  unmountAll(dir);
  for (let attempt = 1; ; attempt += 1) {
    try {
      mount(device, dir, 'btrfs', MS.NOATIME | MS.NOSUID | MS.NODEV, 'discard=async');
      return;
    } catch (error) {
      if (errorCode(error) === 'ENODEV') throw new Error('This kernel has no btrfs.', { cause: error });
      if (errorCode(error) !== 'EBUSY' || attempt === BUSY_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS));
    }
  }
}
