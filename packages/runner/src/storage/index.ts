/** Where sandboxes keep their files. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { spawnSync } from 'node:child_process';
import type { Disks } from '../types.ts';
import { BtrfsDisks, type DiskSettings } from './btrfs-disks.ts';
import { DirectoryDisks } from './directory-disks.ts';

export { BtrfsDisks } from './btrfs-disks.ts';
export type { DiskSettings } from './btrfs-disks.ts';
export { DirectoryDisks } from './directory-disks.ts';
export type { StorageLog } from './log.ts';

export interface PooledDisks extends Disks {
  /** Root of the pool; layers, image records and unfinished builds share its file system. */
  readonly poolDir: string;
}

/** The best driver the host has. A configured device is a wish for btrfs: it then fails loudly when there is none. */
export function chooseDisks(settings: DiskSettings): PooledDisks {
  if (settings.device !== null || (kernelHasBtrfs() && onPath('mkfs.btrfs'))) return new BtrfsDisks(settings);
  return new DirectoryDisks(settings);
}

function kernelHasBtrfs(): boolean {
  const known = (): boolean => /\bbtrfs$/m.test(readFileSync('/proc/filesystems', 'utf8'));
  if (known()) return true;
  spawnSync('modprobe', ['btrfs'], { stdio: 'ignore' });
  return known();
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
