/**
 * System calls a sandbox does not get. Everything else is allowed: the user namespace already makes privileged calls
 * harmless, and nested containers, FUSE, tun and debuggers need the rest.
 *
 * - ENOSYS where programs fall back when the kernel "does not have it" (libuv without io_uring, runc without keyrings).
 * - EPERM where the call reaches into kernel state that no namespace divides.
 */
export interface SeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ALLOW';
  readonly architectures: readonly string[];
  readonly syscalls: ReadonlyArray<{
    readonly names: readonly string[];
    readonly action: 'SCMP_ACT_ERRNO';
    readonly errnoRet: number;
    /** Masked: `value` is the mask, `valueTwo` what the masked argument must equal. */
    readonly args?: ReadonlyArray<
      | { readonly index: number; readonly value: number; readonly op: 'SCMP_CMP_EQ' }
      | { readonly index: number; readonly value: number; readonly valueTwo: number; readonly op: 'SCMP_CMP_MASKED_EQ' }
    >;
  }>;
}

const EPERM = 1;
const ENOTTY = 25;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** Kernel crypto sockets: a large attack surface that ordinary programs do not use. */
const AF_ALG = 38;
/** Reaches the hypervisor and other virtual machines past every network rule. */
const AF_VSOCK = 40;

const ABSENT = [
  'io_uring_setup', 'io_uring_enter', 'io_uring_register',
  // Keyrings are counted per user and survive processes.
  'add_key', 'request_key', 'keyctl',
  // 32-bit multiplexer of socket(): its arguments are out of a filter's reach. libc uses socket() directly.
  'socketcall',
  'uselib', '_sysctl', 'nfsservctl', 'vm86', 'vm86old',
] as const;

const REFUSED = [
  'kexec_load', 'kexec_file_load', 'init_module', 'finit_module', 'delete_module', 'create_module', 'query_module', 'get_kernel_syms',
  'bpf', 'perf_event_open', 'lookup_dcookie', 'userfaultfd',
  'swapon', 'swapoff', 'acct', 'quotactl', 'quotactl_fd', 'syslog', 'iopl', 'ioperm',
  'settimeofday', 'clock_settime', 'clock_settime64', 'stime',
  // Opens files by number, past the directories that guard them.
  'open_by_handle_at',
] as const;

/**
 * ioctls of btrfs by number. Volumes show the pool's own file system, where anybody may make subvolumes and snapshots, whose
 * files no quota counts, and turn a subvolume read-only. Cloning of files (FICLONE) has the same type and stays.
 */
const BTRFS_TYPE = 0x94;
const BTRFS_SUBVOLUME_IOCTLS = [
  1, 14, 23, 24, // SNAP_CREATE, SUBVOL_CREATE, and their second versions
  15, 63, // SNAP_DESTROY and its second version
  26, 37, // SUBVOL_SETFLAGS, SET_RECEIVED_SUBVOL
] as const;
/** Type and number of a request. The kernel looks at 32 of the argument's 64 bits, so all of them must not be compared. */
const REQUEST_MASK = 0xffff;

const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

export function seccompProfile(arch: string = process.arch): SeccompProfile {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: ARCHITECTURES[arch] ?? [],
    syscalls: [
      { names: ABSENT, action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
      { names: REFUSED, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
      ...BTRFS_SUBVOLUME_IOCTLS.map((number) => ({
        names: ['ioctl'], action: 'SCMP_ACT_ERRNO' as const, errnoRet: ENOTTY,
        args: [{ index: 1, value: REQUEST_MASK, valueTwo: (BTRFS_TYPE << 8) | number, op: 'SCMP_CMP_MASKED_EQ' as const }],
      })),
      ...[AF_ALG, AF_VSOCK].map((family) => ({
        names: ['socket'], action: 'SCMP_ACT_ERRNO' as const, errnoRet: EAFNOSUPPORT,
        args: [{ index: 0, value: family, op: 'SCMP_CMP_EQ' as const }],
      })),
    ],
  };
}
