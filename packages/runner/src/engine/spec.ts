/** The OCI runtime specification of one sandbox: a pure function from facts to JSON. */
import { GUEST_MOUNT, TOOLBOX_ENV } from '@paddock/contract';
import { SLOT_IDS, type ShownView } from '../types.ts';
import type { Cgroups, Limits } from './cgroups.ts';
import { initScript } from './init-script.ts';
import { seccompProfile } from './seccomp.ts';

/** What the guest runtime directory offers, as paths inside the sandbox. */
export interface GuestCommands {
  readonly tini: string;
  readonly busybox: string;
  readonly toolbox: readonly string[];
  /** Environment of the toolbox process itself. */
  readonly env: Readonly<Record<string, string>>;
}

export interface SpecInput {
  readonly id: string;
  /** Mounted overlay, in the runner's mount namespace. */
  readonly rootfs: string;
  readonly userNsPath: string;
  readonly netNsPath: string;
  readonly idBase: number;
  readonly user: { readonly name: string; readonly uid: number; readonly gid: number; readonly home: string; readonly groups: readonly number[] };
  /** `KEY=value` of the image. */
  readonly imageEnv: readonly string[];
  /** null: the image names none, the user's home is used. */
  readonly workDir: string | null;
  readonly limits: Limits;
  readonly diskBytes: number;
  readonly cgroups: Pick<Cgroups, 'path' | 'limits' | 'mountInside'>;
  /** Host directory of the guest runtime. */
  readonly guestDir: string;
  readonly guest: GuestCommands;
  /** Host directory with the sandbox's own hosts, hostname, resolv.conf and device nodes. */
  readonly ownFilesDir: string;
  /** Device nodes present in `ownFilesDir`, with the path each gets inside. */
  readonly devices: readonly OwnDevice[];
  readonly views: readonly ShownView[];
  readonly maskedPaths: readonly string[];
  /** At most the hard limit the runtime inherits. */
  readonly openFiles: number;
}

export interface OwnDevice {
  /** File name in the directory of own files. */
  readonly file: string;
  readonly path: string;
  readonly major: number;
  readonly minor: number;
}

/** Descriptor of the listening socket inside: the first after stdio. */
export const LISTEN_FD = 3;

/** Devices that are useful inside a user namespace and safe in it. */
export const OWN_DEVICES: readonly OwnDevice[] = [
  { file: 'fuse', path: '/dev/fuse', major: 10, minor: 229 },
  { file: 'tun', path: '/dev/net/tun', major: 10, minor: 200 },
];

/** Every capability the kernel has. Inside the user namespace they reach only what the namespace owns. */
const CAPABILITIES = [
  'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT',
  'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE', 'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE',
  'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP', 'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ',
].map((name) => `CAP_${name}`);

/**
 * What the host would tell about itself. Files of /proc and /sys that only the host's root may read need no mask: root
 * inside is somebody else. Root inside may also lift these masks again and then sees what the user namespace leaves.
 */
export const MASKED_PATHS: readonly string[] = [
  '/proc/kcore', '/proc/keys', '/proc/key-users', '/proc/sysrq-trigger', '/proc/kmsg', '/proc/timer_list', '/proc/acpi', '/proc/scsi',
  '/sys/firmware', '/sys/class/dmi', '/sys/devices/virtual/dmi', '/sys/fs/btrfs',
];

/**
 * A mount namespace without one whole view of /proc and /sys may not mount new ones, so user namespaces inside (bubblewrap,
 * browsers, rootless containers) would fail behind the masks. Only root inside passes this directory.
 */
export const UNMASKED_DIR = '/dev/.paddock';

/** Half of memory, the kernel's own default for a tmpfs; browsers need far more than the 64 MiB containers usually get. */
const SHM_SHARE = 0.5;

/** Sandboxes go before the host's own services when the whole machine is out of memory. Cannot be lowered from inside. */
const OOM_SCORE = 500;

/** The hard limit of open files that systemd gives its services, too. */
export const OPEN_FILES = 1_048_576;

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function ociSpec(input: SpecInput): object {
  const { user, limits, cgroups, guest } = input;
  const idMap = [{ containerID: 0, hostID: input.idBase, size: SLOT_IDS }];
  const own = (file: string): string => `${input.ownFilesDir}/${file}`;
  return {
    ociVersion: '1.0.2',
    hostname: input.id,
    process: {
      terminal: false,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.groups.filter((gid) => gid !== user.gid) },
      args: [guest.tini, '--', guest.busybox, 'sh', '-c', initScript(guest.toolbox)],
      env: environment(input),
      cwd: input.workDir ?? user.home,
      // A user other than root gains them through sudo; root has them from the start.
      capabilities: { bounding: CAPABILITIES, effective: [], inheritable: [], permitted: [], ambient: [] },
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: input.openFiles, hard: input.openFiles },
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      ],
      noNewPrivileges: false,
      oomScoreAdj: OOM_SCORE,
    },
    root: { path: input.rootfs, readonly: false },
    mounts: [
      mount('/proc', 'proc', 'proc', ['nosuid', 'noexec', 'nodev']),
      mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=64m']),
      mount('/dev/pts', 'devpts', 'devpts', ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']),
      mount('/dev/shm', 'tmpfs', 'shm', ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${Math.floor(limits.memoryBytes * SHM_SHARE)}`]),
      mount('/dev/mqueue', 'mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
      mount('/sys', 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
      ...(cgroups.mountInside ? [mount('/sys/fs/cgroup', 'cgroup', 'cgroup', ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'])] : []),
      bind(own('unmasked'), UNMASKED_DIR, ['ro', 'nosuid']),
      mount(`${UNMASKED_DIR}/proc`, 'proc', 'proc', ['nosuid', 'noexec', 'nodev']),
      mount(`${UNMASKED_DIR}/sys`, 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
      bind(input.guestDir, GUEST_MOUNT, ['ro', 'nosuid', 'nodev']),
      ...['hosts', 'hostname', 'resolv.conf'].map((file) => bind(own(file), `/etc/${file}`, ['rw', 'nosuid', 'nodev', 'noexec'])),
      ...input.devices.map((device) => bind(own(device.file), device.path, ['rw', 'nosuid', 'noexec'])),
      // The flags of their mounts, which no one inside may take away, so the runtime has to repeat them.
      ...input.views.map(({ source, target, readOnly }) => bind(source, target, [readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', 'noatime'])),
    ],
    linux: {
      uidMappings: idMap,
      gidMappings: idMap,
      namespaces: [
        { type: 'user', path: input.userNsPath },
        { type: 'network', path: input.netNsPath },
        { type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }, { type: 'cgroup' },
      ],
      cgroupsPath: cgroups.path(input.id),
      resources: {
        ...cgroups.limits(limits),
        devices: [
          { allow: false, access: 'rwm' },
          ...input.devices.map(({ major, minor }) => ({ allow: true, type: 'c', major, minor, access: 'rwm' })),
        ],
      },
      seccomp: seccompProfile(),
      maskedPaths: input.maskedPaths,
    },
  };
}

/** Names that change how a program loads or how Node runs: an image's own values are for the user's programs alone. */
const STEERS_TOOLBOX = /^(?:LD_|NODE_|MALLOC_|GLIBC_TUNABLES=|GCONV_PATH=|TMPDIR=|UV_|PADDOCK_)/;

/** The toolbox gives `PADDOCK_USER_X` to what it starts as `X`. */
const USER_ENV_PREFIX = 'PADDOCK_USER_';

/** Later entries win: the image first, then who the user is, then what the toolbox is told. Nothing of the host's. */
function environment(input: SpecInput): string[] {
  const { user, limits, guest } = input;
  const values = new Map<string, string>();
  const set = (entry: string): void => {
    const equals = entry.indexOf('=');
    if (equals > 0) values.set(entry.slice(0, equals), entry.slice(equals + 1));
  };
  for (const entry of [DEFAULT_PATH, 'LANG=C.UTF-8']) set(entry);
  for (const entry of input.imageEnv) set(STEERS_TOOLBOX.test(entry) ? `${USER_ENV_PREFIX}${entry}` : entry);
  const ours: Record<string, string> = {
    HOME: user.home,
    USER: user.name,
    LOGNAME: user.name,
    DAYTONA_SANDBOX_ID: input.id,
    DAYTONA_SANDBOX_USER: user.name,
    ...guest.env,
    [TOOLBOX_ENV.listenFd]: String(LISTEN_FD),
    ...(input.workDir === null ? { [TOOLBOX_ENV.homeAsWorkDir]: '1' } : {}),
    [TOOLBOX_ENV.diskBytes]: String(input.diskBytes),
    [TOOLBOX_ENV.cpus]: String(limits.cpu),
    [TOOLBOX_ENV.memoryBytes]: String(limits.memoryBytes),
  };
  for (const [name, value] of Object.entries(ours)) values.set(name, value);
  return [...values].map(([name, value]) => `${name}=${value}`);
}

interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

function mount(destination: string, type: string, source: string, options: readonly string[]): Mount {
  return { destination, type, source, options };
}

function bind(source: string, destination: string, options: readonly string[]): Mount {
  return { destination, type: 'bind', source, options: ['bind', ...options] };
}
