import { readFileSync } from 'node:fs';
import { check, declare, declareInBackground } from './libc.ts';
import { SysError, errnoName, errorCode } from './sys-error.ts';

/** Flags of mount(2). */
export const MS = {
  RDONLY: 1n,
  NOSUID: 2n,
  NODEV: 4n,
  NOEXEC: 8n,
  REMOUNT: 32n,
  NOATIME: 1024n,
  BIND: 4096n,
  REC: 16384n,
  PRIVATE: 1n << 18n,
  SLAVE: 1n << 19n,
  RELATIME: 1n << 21n,
} as const;

/** Flags of umount2(2). */
export const MNT = { FORCE: 1, DETACH: 2, NOFOLLOW: 8 } as const;

const cMount = declare(
  'int mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data)',
);
const cUmount2 = declare('int umount2(const char* target, int flags)');
const umountInThread = declareInBackground('int umount2(const char* target, int flags)');

/**
 * mount(2).
 * @param type file system, null for a bind mount or a change of flags
 * @param data options of the file system, at most one page (4,095 bytes)
 */
export function mount(
  source: string | null,
  target: string,
  type: string | null,
  flags: bigint = 0n,
  data: string | null = null,
): void {
  check(cMount(source, target, type, flags, data), 'mount', target);
}

/** Bind mount. The target must exist and be of the source's kind (file or directory). */
export function bindMount(source: string, target: string, flags: bigint = 0n): void {
  mount(source, target, null, MS.BIND | flags);
}

/** umount2(2), never through a symlink. */
export function umount2(target: string, flags: number = MNT.DETACH): void {
  check(cUmount2(target, flags | MNT.NOFOLLOW), 'umount2', target);
}

/** Detaches every mount stacked on the path. True when there was one; a path that is no mount point is fine. */
export function unmountAll(target: string): boolean {
  for (let count = 0; ; count += 1) {
    try {
      umount2(target);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'EINVAL' || code === 'ENOENT') return count > 0;
      throw error;
    }
  }
}

/**
 * Detaches the topmost mount on the path with all that is mounted below it, in a thread of the pool: the kernel waits for
 * every processor to have seen it, 1 to 30 ms, once for the whole tree. A path that is no mount point is fine.
 */
export async function detachTree(target: string): Promise<void> {
  const { value, errno } = await umountInThread(target, MNT.DETACH | MNT.NOFOLLOW);
  if (value < 0 && !['EINVAL', 'ENOENT'].includes(errnoName(errno))) throw new SysError('umount2', errno, target);
}

export interface MountPoint {
  readonly mountId: number;
  /** `major:minor`, as in stat's st_dev. */
  readonly device: string;
  /** Path inside the file system that the mount shows. */
  readonly root: string;
  readonly target: string;
  readonly type: string;
  readonly source: string;
  /** Options of the mount, then options of the file system, comma separated. */
  readonly options: string;
}

/** Mounts of the runner's own mount namespace, in the order they were made. */
export function listMounts(): MountPoint[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** @param text of a mountinfo file of /proc */
export function parseMounts(text: string): MountPoint[] {
  const mounts: MountPoint[] = [];
  for (const line of text.split('\n')) {
    // id parent major:minor root target options [optional fields] - type source superOptions
    const [left = '', right] = line.split(' - ');
    if (right === undefined) continue;
    const [mountId, , device = '', root = '', target = '', options = ''] = left.split(' ');
    const [type = '', source = '', superOptions = ''] = right.split(' ');
    mounts.push({
      mountId: Number(mountId),
      device,
      root: unescape(root),
      target: unescape(target),
      type,
      source: unescape(source),
      options: `${options},${superOptions}`,
    });
  }
  return mounts;
}

/** The topmost mount on the path, or null. */
export function mountAt(target: string): MountPoint | null {
  return listMounts().findLast((mount) => mount.target === target) ?? null;
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}
