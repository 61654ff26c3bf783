/** What the host tells a toolbox and how the two find each other. */

/** TCP port of the toolbox inside the sandbox (loopback only). Never public. */
export const TOOLBOX_PORT = 2280;
export const TERMINAL_PORT = 22222;
export const RECORDINGS_PORT = 33333;
/** Ports that need a credential even when the sandbox is public. */
export const RESERVED_PORTS: ReadonlySet<number> = new Set([TOOLBOX_PORT, TERMINAL_PORT, RECORDINGS_PORT]);

/** Directory inside every sandbox at which the guest runtime is mounted read-only. */
export const GUEST_MOUNT = '/usr/lib/paddock';

/**
 * Environment of the toolbox process, set by the engine. The toolbox removes all `PADDOCK_*` names before it starts
 * anything for the user.
 */
export const TOOLBOX_ENV = {
  /** Number of the inherited descriptor that already listens on the host's unix socket. */
  listenFd: 'PADDOCK_LISTEN_FD',
  /** `1` when the image has no WORKDIR: the user's home is then the work dir. */
  homeAsWorkDir: 'PADDOCK_HOME_AS_WORKDIR',
  /** Disk quota in bytes, for /system/metrics. */
  diskBytes: 'PADDOCK_DISK_BYTES',
  /** File that always holds the bytes charged to that quota, where the engine can offer one. */
  diskUsedFile: 'PADDOCK_DISK_USED_FILE',
  /** cpu count of the sandbox (may be fractional). */
  cpus: 'PADDOCK_CPUS',
  memoryBytes: 'PADDOCK_MEMORY_BYTES',
} as const;

export interface ToolboxLimits {
  /** May be a fraction. */
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

/**
 * `POST /init` on the toolbox. Only the runner and the control plane call it: the gateway never forwards it. Answered when the toolbox serves, so that
 * the reply is the readiness signal; may be repeated, each call replaces what the one before set.
 */
export interface ToolboxInit {
  /** Sandbox token, kept for telemetry only. */
  readonly token?: string;
  /** Environment of everything started from now on; replaces the set given by the previous init. */
  readonly env?: Readonly<Record<string, string>>;
  /** What the sandbox may use since it was resized; in place of what TOOLBOX_ENV said at its start. */
  readonly limits?: ToolboxLimits;
  /** Argument vector of the snapshot's entrypoint; started once per boot as session `entrypoint`. */
  readonly entrypoint?: readonly string[];
}
