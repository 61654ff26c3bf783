import { createHash } from 'node:crypto';
import { join } from 'node:path';

/**
 * Where one Paddock instance keeps its things. Everything is derived from the data directory, so two instances with
 * different data directories on one machine never share a socket, a network namespace, a cgroup or a link name.
 */
export interface Layout {
  /** 8 hex digits, the first of sha256 of the data directory's path. Part of every host-wide name. */
  readonly instance: string;
  readonly dataDir: string;
  /** `<runRoot>/<instance>`: sockets and mount points. Short on purpose: a unix socket path holds 107 bytes. */
  readonly runDir: string;
  readonly runnerSocket: string;
  /** Directory of the embedded PostgreSQL's unix socket. */
  readonly postgresSocketDir: string;
  readonly postgresDataDir: string;
  /** Unpacked toolbox runtimes that sandboxes see read-only, one folder a version. */
  readonly guestDir: string;
  readonly logDir: string;
  /** Blobs of the embedded object store; the service user's. */
  readonly blobDir: string;
  /** Cgroup of the instance below each hierarchy's root; a sandbox's is `<cgroup>/<sandbox id>`. */
  readonly cgroup: string;
  /** Name of the router network namespace. */
  readonly routerNetns: string;
  /** Host end of the router's uplink (at most 15 characters, the kernel's limit for a link name). */
  readonly uplink: string;
  /** Name of the nftables table in the host's namespace. */
  readonly nftTable: string;
}

/** @param dataDir absolute path @param runRoot `/run/paddock` unless tests say otherwise */
export function layoutOf(dataDir: string, runRoot = '/run/paddock'): Layout {
  const instance = createHash('sha256').update(dataDir).digest('hex').slice(0, 8);
  const runDir = join(runRoot, instance);
  return {
    instance,
    dataDir,
    runDir,
    runnerSocket: join(runDir, 'runner.sock'),
    postgresSocketDir: join(runDir, 'pg'),
    postgresDataDir: join(dataDir, 'postgres'),
    guestDir: join(dataDir, 'guest'),
    logDir: join(dataDir, 'logs'),
    blobDir: join(dataDir, 'blobs'),
    cgroup: `paddock-${instance}`,
    routerNetns: `paddock-${instance}`,
    uplink: `pdk${instance}`,
    nftTable: `paddock_${instance}`,
  };
}

/** Directory that holds a sandbox's toolbox socket on the host. */
export function sandboxRunDir(layout: Layout, sandboxId: string): string {
  return join(layout.runDir, 'sandboxes', sandboxId);
}

/**
 * The toolbox's listening unix socket, seen from the host. The runner makes and owns it and hands the descriptor to the
 * sandbox's init; the path is not visible inside, so code in a sandbox cannot put a symlink in its place.
 */
export function toolboxSocket(layout: Layout, sandboxId: string): string {
  return join(sandboxRunDir(layout, sandboxId), 'toolbox.sock');
}
