import { existsSync, readFileSync } from 'node:fs';
import { arch, platform, release } from 'node:os';
import { spawnSync } from 'node:child_process';
import { type Check, fail, ok, warn } from './check.ts';

/** overlayfs accepts id-mapped layers since 5.19; every sandbox disk is one. */
const OLDEST_KERNEL = [5, 19] as const;

/** A sandbox holds one; the pool keeps a few ready. Nested containers take more. */
const FEW_NAMESPACES = 1_000;

const readText = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
};

/** Built in, loaded, or there to be loaded. */
function hasFilesystem(name: string): boolean {
  if (new RegExp(`\\b${name}$`, 'm').test(readText('/proc/filesystems') ?? '')) return true;
  return spawnSync('modprobe', ['--dry-run', '--quiet', name]).status === 0;
}

export function isKernelNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor >= OLDEST_KERNEL[1]);
}

export const KERNEL_CHECKS: readonly Check[] = [
  {
    name: 'platform',
    atStart: true,
    run: () =>
      platform() === 'linux' && arch() === 'x64'
        ? ok('Linux, x86-64')
        : fail(`${platform()}, ${arch()}`, 'Paddock does not run', 'Use an x86-64 Linux machine (a virtual one will do).'),
  },
  {
    name: 'root',
    atStart: true,
    run: () => (process.getuid?.() === 0 ? ok('yes') : fail('no', 'the runner can make no namespaces, mounts and cgroups', 'Start Paddock with sudo.')),
  },
  {
    name: 'kernel',
    atStart: true,
    run: () =>
      isKernelNewEnough(release())
        ? ok(release())
        : fail(release(), 'sandbox disks cannot be mounted (id-mapped overlays need 5.19)', 'Install a newer kernel; Debian 12 and Ubuntu 24.04 have one.'),
  },
  {
    name: 'cgroups',
    atStart: true,
    run() {
      const unified = readText('/sys/fs/cgroup/cgroup.controllers');
      const wanted = ['cpu', 'memory', 'pids'];
      const present = unified === null ? wanted.filter((one) => existsSync(`/sys/fs/cgroup/${one}`) || (one === 'cpu' && existsSync('/sys/fs/cgroup/cpu,cpuacct'))) : unified.split(' ');
      const missing = wanted.filter((one) => !present.includes(one));
      const kind = unified !== null ? 'v2' : existsSync('/sys/fs/cgroup/unified') ? 'hybrid' : 'v1';
      return missing.length === 0
        ? ok(`${kind} with cpu, memory, pids`)
        : fail(`${kind} without ${missing.join(', ')}`, 'sandboxes cannot be kept within their limits', 'Boot with systemd.unified_cgroup_hierarchy=1, or mount the controllers below /sys/fs/cgroup.');
    },
  },
  {
    name: 'user namespaces',
    atStart: true,
    run() {
      const limit = Number(readText('/proc/sys/user/max_user_namespaces') ?? 0);
      if (limit === 0) return fail('off', 'no sandbox starts', 'sysctl -w user.max_user_namespaces=65536');
      return limit < FEW_NAMESPACES
        ? warn(`at most ${limit}`, `no more than about ${limit} sandboxes run at a time`, 'sysctl -w user.max_user_namespaces=65536')
        : ok(`at most ${limit}`);
    },
  },
  {
    name: 'AppArmor and user namespaces',
    atStart: false,
    run: () =>
      readText('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1'
        ? warn('restricted', 'containers inside sandboxes (Docker, bubblewrap, browser sandboxes) may not start', 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0')
        : ok('not restricted'),
  },
  {
    name: 'btrfs',
    atStart: false,
    run: () =>
      hasFilesystem('btrfs') ? ok('in the kernel') : fail('not in the kernel', 'sandboxes have no disk', 'Use a kernel with btrfs (all of Debian and Ubuntu have it; on cloud images: apt-get install linux-modules-extra-$(uname -r)).'),
  },
  {
    name: 'overlayfs',
    atStart: false,
    run: () => (hasFilesystem('overlay') ? ok('in the kernel') : fail('not in the kernel', 'sandboxes have no root file system', 'modprobe overlay, or use a kernel with it.')),
  },
  {
    name: 'loop devices',
    atStart: true,
    run: ({ pool }) =>
      pool.device !== null || existsSync('/dev/loop-control')
        ? ok(pool.device === null ? '/dev/loop-control' : 'not needed')
        : fail('none', 'the pool cannot lie in a file', 'modprobe loop, or set PADDOCK_POOL_DEVICE to a block device.'),
  },
  {
    name: 'FUSE',
    atStart: false,
    run: () => (existsSync('/dev/fuse') ? ok('/dev/fuse') : warn('no /dev/fuse', 'sandboxes cannot mount FUSE file systems', 'modprobe fuse')),
  },
  {
    name: 'tun',
    atStart: false,
    run: () => (existsSync('/dev/net/tun') ? ok('/dev/net/tun') : warn('no /dev/net/tun', 'no VPN inside sandboxes', 'modprobe tun')),
  },
  {
    name: 'seccomp',
    atStart: false,
    run: () =>
      existsSync('/proc/sys/kernel/seccomp')
        ? ok('filters')
        : fail('missing', 'system calls of sandboxes cannot be filtered', 'Use a kernel with CONFIG_SECCOMP_FILTER.'),
  },
];
