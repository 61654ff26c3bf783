/**
 * Limits, process lists, out-of-memory counts and removal of a sandbox's cgroup, over one cgroup version.
 * `runc` creates the groups (it must, to put the first process in before it runs); everything after that is here, as
 * plain file reads and writes.
 */
import { readFileSync } from 'node:fs';
import { cgroupsV1 } from './cgroups-v1.ts';
import { cgroupsV2 } from './cgroups-v2.ts';

export interface Limits {
  /** Cores, may be fractional. */
  readonly cpu: number;
  readonly memoryBytes: number;
}

/** The `linux.resources` part of an OCI spec that carries the limits. */
export interface OciLimits {
  readonly cpu: { readonly quota: number; readonly period: number };
  readonly memory: { readonly limit: number; readonly swap?: number };
  readonly pids: { readonly limit: number };
}

export interface Cgroups {
  readonly version: 'v1' | 'hybrid' | 'v2';
  /** Mount of the cgroup tree inside the sandbox, or null when the version offers none worth its time. */
  readonly mountInside: boolean;
  /** OCI `linux.cgroupsPath` of a sandbox. */
  path(id: string): string;
  limits(limits: Limits): OciLimits;
  /** Applies new limits to a running sandbox. Throws when memory cannot shrink below what is in use. */
  update(id: string, limits: Limits): void;
  /**
   * Gives root inside its part of the version 2 hierarchy, so that container engines run there. Not of version 1, where nothing bounds
   * the number of groups. @param rootId host id of root inside
   */
  delegate(id: string, rootId: number): void;
  /** Host pids in the sandbox's group. */
  pids(id: string): number[];
  /**
   * Before a kill: no process of the group can fork any more, and its cpu quota is lifted so that thousands of processes
   * (a fork bomb) are not throttled while they die.
   */
  doom(id: string): void;
  /**
   * Stops every process of the group where it is; new ones too. Resolves when none runs, or after FREEZE_PATIENCE_MS: then one is held
   * up in the kernel, and stops when it comes back from there. Host without a freezer: does nothing.
   * @returns whether all stand still
   */
  freeze(id: string): Promise<boolean>;
  /** Lets them go on. Idempotent, also for a group that is gone. */
  thaw(id: string): void;
  /** SIGKILL to every process of the group, frozen or not. Resolves when none is left; throws when one does not end. */
  kill(id: string): Promise<void>;
  /** Processes of the sandbox that the kernel killed for lack of memory since its start. */
  oomKills(id: string): number;
  /** Removes the (empty) group from every hierarchy. Idempotent. @returns false when a process keeps it */
  remove(id: string): boolean;
  /** Sandbox ids that have a group in any hierarchy. */
  list(): string[];
  /** Removes the instance's own parent group, when no sandbox's is left in it. */
  removeParent(): void;
}

/**
 * Processes stop within a millisecond or two unless they wait for a disk. What the file system shows of one that is still inside a
 * write after this is as consistent as after a power failure, which is worth more than a sandbox that stands still for seconds.
 */
export const FREEZE_PATIENCE_MS = 200;

/** 100 ms: the kernel's default, and what makes quota = cpu × 100,000 readable. */
export const CPU_PERIOD_US = 100_000;

/**
 * Threads count as well. A large build or a JVM needs some hundreds; 4,096 is far above and still stops a fork bomb
 * before the host's own table (32,768 by default) is touched by a few sandboxes.
 */
export const PIDS_LIMIT = 4096;

/** The kernel refuses a quota under 1 ms. */
export function cpuQuotaUs(cpu: number): number {
  return Math.max(1000, Math.round(cpu * CPU_PERIOD_US));
}

/** One line of /proc/self/mountinfo that is a cgroup hierarchy. */
export interface CgroupMount {
  readonly path: string;
  readonly type: 'cgroup' | 'cgroup2';
  /** v1: controllers of the hierarchy (`name=systemd` for the named one). */
  readonly controllers: readonly string[];
}

export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    if (before === undefined || after === undefined) continue;
    const [type, , superOptions = ''] = after.split(' ');
    const path = before.split(' ')[4];
    if (path === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    const controllers = type === 'cgroup2' ? [] : superOptions.split(',').filter((option) => option !== 'rw' && option !== 'ro');
    mounts.push({ path, type, controllers });
  }
  return mounts;
}

/** @param parent name of the instance's group below each hierarchy's root */
export function openCgroups(parent: string, mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): Cgroups {
  const mounts = parseCgroupMounts(mountinfo);
  const v1 = mounts.filter((mount) => mount.type === 'cgroup');
  const v2 = mounts.find((mount) => mount.type === 'cgroup2');
  if (v1.length > 0) return cgroupsV1(parent, v1, v2?.path ?? null);
  if (v2 !== undefined) return cgroupsV2(parent, v2.path);
  throw new Error('No cgroup hierarchy is mounted: sandboxes could not be limited. Mount one at /sys/fs/cgroup.');
}
