/** Attaches a file as a block device. Layouts of <linux/loop.h>. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { declare, errorCode, ioctl, ioctlNumber, check } from '../sys/index.ts';

const LOOP_CTL_GET_FREE = 0x4c82n;
const LOOP_CONFIGURE = 0x4c0an;
const LOOP_GET_STATUS64 = 0x4c05n;
const LOOP_SET_CAPACITY = 0x4c07n;

/** struct loop_config { u32 fd; u32 block_size; struct loop_info64 info; u64 reserved[8]; }, 304 bytes; info is 232 bytes at 8. */
const CONFIG_SIZE = 304;
const INFO_AT = 8;
const INFO_SIZE = 232;
const INODE_AT = 8;
const FLAGS_AT = 52;
const NAME_AT = 56;
const NAME_SIZE = 64;

/** The device frees itself when its last user (a mount, in whatever namespace, or a descriptor) is gone. */
const AUTOCLEAR = 4;
/** Bypasses the page cache of the file system below: pages are cached once, by the file system on the device. */
const DIRECT_IO = 16;

const mknod = declare('int mknod(const char* path, unsigned int mode, unsigned long dev)');
const S_IFBLK = 0o060000;
const LOOP_MAJOR = 7;

export interface LoopDevice {
  readonly path: string;
  /** Open descriptor: keeps the device attached until it is mounted. The caller closes it. */
  readonly fd: number;
}

/** Attaches the file, or finds the device it is attached to. */
export function attachLoop(file: string): LoopDevice {
  const path = realpathSync(file);
  const found = findLoop(path);
  if (found !== null) return found;
  const fileFd = openSync(path, constants.O_RDWR);
  try {
    return configureFree(fileFd, path);
  } finally {
    closeSync(fileFd);
  }
}

/** Tells the device that its file has grown. */
export function refreshCapacity(fd: number): void {
  ioctlNumber(fd, LOOP_SET_CAPACITY, 0, 'LOOP_SET_CAPACITY');
}

function findLoop(path: string): LoopDevice | null {
  for (const name of readdirSync('/sys/block')) {
    if (!/^loop\d+$/.test(name)) continue;
    try {
      if (readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd() !== path) continue;
      const device = openLoop(Number(name.slice(4)));
      // Looked at again now that the descriptor keeps it: its last user may have left in between.
      if (isAttachedTo(device.fd, path)) return device;
      closeSync(device.fd);
    } catch (error) {
      if (!['ENOENT', 'ENXIO'].includes(errorCode(error) ?? '')) throw error;
    }
  }
  return null;
}

function isAttachedTo(fd: number, path: string): boolean {
  const file = openSync(path, constants.O_RDONLY);
  try {
    const info = Buffer.alloc(INFO_SIZE);
    ioctl(fd, LOOP_GET_STATUS64, info, 'LOOP_GET_STATUS64');
    return info.readBigUInt64LE(INODE_AT) === fstatSync(file, { bigint: true }).ino;
  } catch (error) {
    if (errorCode(error) === 'ENXIO') return false;
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Another process may take the free device first; then the next one is asked for. */
const CLAIM_ATTEMPTS = 64;

function configureFree(fileFd: number, path: string): { path: string; fd: number } {
  const control = openSync('/dev/loop-control', constants.O_RDWR);
  try {
    for (let attempt = 1; ; attempt += 1) {
      const device = openLoop(ioctlNumber(control, LOOP_CTL_GET_FREE, 0, 'LOOP_CTL_GET_FREE'));
      try {
        configure(device.fd, fileFd, path);
        return device;
      } catch (error) {
        closeSync(device.fd);
        if (errorCode(error) !== 'EBUSY' || attempt === CLAIM_ATTEMPTS) throw error;
      }
    }
  } finally {
    closeSync(control);
  }
}

/** Not every file system can do direct I/O on a loop file; then pages are cached twice. */
function configure(deviceFd: number, fileFd: number, path: string): void {
  for (const flags of [AUTOCLEAR | DIRECT_IO, AUTOCLEAR]) {
    const config = Buffer.alloc(CONFIG_SIZE);
    config.writeUInt32LE(fileFd, 0);
    config.writeUInt32LE(flags, INFO_AT + FLAGS_AT);
    config.write(path.slice(-(NAME_SIZE - 1)), INFO_AT + NAME_AT);
    try {
      ioctl(deviceFd, LOOP_CONFIGURE, config, 'LOOP_CONFIGURE', path);
      return;
    } catch (error) {
      if (errorCode(error) !== 'EINVAL' || flags === AUTOCLEAR) throw error;
    }
  }
}

/** In containers /dev may lack the node of a device that was just made. */
function openLoop(number: number): { path: string; fd: number } {
  const path = `/dev/loop${number}`;
  try {
    return { path, fd: openSync(path, constants.O_RDWR) };
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    check(mknod(path, S_IFBLK | 0o600, (LOOP_MAJOR << 8) | number), 'mknod', path);
    return { path, fd: openSync(path, constants.O_RDWR) };
  }
}
