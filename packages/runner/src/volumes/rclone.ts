/**
 * The daemons that show a bucket as a file system: one for each S3 volume of this runner, shared by its sandboxes. They outlive
 * the runner, as sandboxes do, and are found again by their command line, which holds no secret.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, parseMounts } from '../sys/index.ts';

export interface DaemonFiles {
  readonly mountPoint: string;
  /** rclone configuration with a remote called `volume`; 0600. */
  readonly config: string;
  /** Existing directory where what is being written waits for its upload; survives the daemon. */
  readonly cacheDir: string;
  readonly log: string;
}

/** Mounting asks the store nothing; a busy machine may need a second. */
const READY_MS = 10_000;
const READY_PAUSE_MS = 20;

/** Uploads that are under way at the end are taken up by the next daemon from its cache; the rest is unmounting. */
const END_MS = 10_000;

/**
 * wire: files 0666, directories 0777, whoever made them. Entries are looked up again after five seconds, which is how old a
 * view of another machine's changes may be. Written files are uploaded as soon as they are closed.
 */
const OPTIONS = [
  '--allow-other', '--uid', '0', '--gid', '0', '--umask', '000', '--file-perms', '0666', '--dir-perms', '0777', '--dir-cache-time', '5s', '--poll-interval', '0',
  '--vfs-cache-mode', 'writes', '--vfs-write-back', '0s', '--vfs-cache-max-age', '1m',
  '--s3-no-check-bucket', '--contimeout', '5s', '--timeout', '30s', '--low-level-retries', '5', '--log-level', 'NOTICE',
];

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @returns what the operator should do, or null */
export function lackingProgram(): string | null {
  const lacking = ['rclone', 'fusermount3'].filter((program) => !PATH.split(':').some((dir) => existsSync(join(dir, program))));
  return lacking.length === 0 ? null : `S3 volumes need ${lacking.join(' and ')} on the runner's machine: apt-get install rclone fuse3`;
}

/** @param remote `bucket/prefix` @returns the daemon's pid, once the mount is there */
export async function startDaemon(remote: string, files: DaemonFiles): Promise<number> {
  const log = openSync(files.log, 'w', 0o600);
  const child = spawn('rclone', ['mount', `volume:${remote}`, files.mountPoint, '--config', files.config, '--cache-dir', files.cacheDir, ...OPTIONS], {
    env: { PATH }, stdio: ['ignore', log, log], detached: true, cwd: '/',
  });
  closeSync(log);
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error(lackingProgram() ?? error.message) : error));
    child.once('exit', () => reject(new Error(`rclone ended: ${tail(files.log)}`)));
  });
  failed.catch(() => {}); // later it may end as it likes
  const deadline = Date.now() + READY_MS;
  while (child.pid === undefined || !isMounted(child.pid, files.mountPoint)) {
    await Promise.race([failed, sleep(READY_PAUSE_MS)]);
    if (Date.now() < deadline) continue;
    child.kill('SIGKILL');
    throw new Error(`rclone did not mount within ${READY_MS} ms: ${tail(files.log)}`);
  }
  child.unref();
  return child.pid;
}

/** Lets it unmount and end; kills it when it does not. */
export async function endDaemon(pid: number, mountPoint: string): Promise<void> {
  for (const [signal, waitMs] of [['SIGTERM', END_MS], ['SIGKILL', END_MS]] as const) {
    for (const deadline = Date.now() + waitMs; daemonMountPoint(pid) === mountPoint && Date.now() < deadline;) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if (errorCode(error) !== 'ESRCH') throw error; // ended by itself
      }
      await sleep(100);
    }
  }
}

/** Daemons of an earlier runner too: name of the mount point below `dir` → pid. */
export function findDaemons(dir: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const mountPoint = daemonMountPoint(Number(name));
    if (mountPoint !== null && join(dir, basename(mountPoint)) === mountPoint) found.set(basename(mountPoint), Number(name));
  }
  return found;
}

/** @returns null when the process is no daemon of ours, or gone */
export function daemonMountPoint(pid: number): string | null {
  let args: string[];
  try {
    args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return null; // ended meanwhile
  }
  const [program = '', command, remote = '', mountPoint = ''] = args;
  return basename(program) === 'rclone' && command === 'mount' && remote.startsWith('volume:') ? mountPoint : null;
}

/** The daemon serves its mount, as its own mount namespace has it. */
export function isMounted(pid: number, mountPoint: string): boolean {
  try {
    return parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')).some(({ target, type }) => target === mountPoint && type === 'fuse.rclone');
  } catch {
    return false; // ended, or not yet started
  }
}

function tail(log: string): string {
  return readFileSync(log, 'utf8').trim().slice(-500) || 'it said nothing';
}
