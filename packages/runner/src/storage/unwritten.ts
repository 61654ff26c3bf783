/** Bounds what the pool's files may have in memory and not yet on the device. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileSystemId } from './btrfs.ts';
import { withDirectory } from './pool.ts';

/**
 * A snapshot waits until everything written before it is on the device, and by default that may be a tenth of the machine's memory and half
 * a minute's work. With this bound the kernel begins to write at half of it and paces writers from three quarters on. A gigabyte written at
 * once is then on the device as soon as before, but what is left at its end takes a fast disk a tenth of a second. With less the
 * kernel paces writers in jerks; with twice as much too much is left.
 */
const UNWRITTEN_BYTES = 384 * 1024 ** 2;

/**
 * Not with memory control groups of version 2: there the kernel begins to write at a tenth of each sandbox's own memory, and would take a
 * bound of the file system as a share of that.
 * @returns the bound, null where the kernel has no such setting (before 6.2), lets nobody change it or needs none
 */
export function boundUnwritten(poolDir: string): number | null {
  if (!/:(?:[^:]*,)?memory(?:,[^:]*)?:/.test(readFileSync('/proc/self/cgroup', 'utf8'))) return null;
  const settings = join('/sys/fs/btrfs', withDirectory(poolDir, fileSystemId), 'bdi');
  if (!existsSync(join(settings, 'max_bytes'))) return null;
  try {
    // The bound first: the other makes it, and until then the whole machine's, be kept to.
    writeFileSync(join(settings, 'max_bytes'), String(UNWRITTEN_BYTES));
    writeFileSync(join(settings, 'strict_limit'), '1');
    return UNWRITTEN_BYTES;
  } catch {
    return null; // /sys is read-only, or the machine so small that its own bound is less
  }
}
