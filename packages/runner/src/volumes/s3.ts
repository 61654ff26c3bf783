import { closeSync, constants, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectAccess } from '@paddock/contract';
import { Lanes } from '../lifecycle/lanes.ts';
import { RunnerError } from '../runner-error.ts';
import { createSubvolume, limitSubvolume } from '../storage/btrfs.ts';
import { withDirectory } from '../storage/pool.ts';
import { O_PATH, detachedMount, errorCode, inMountNs, unmountAll } from '../sys/index.ts';
import { openSubpathLater } from './places.ts';
import { daemonMountPoint, endDaemon, findDaemons, isMounted, lackingProgram, startDaemon, type DaemonFiles } from './rclone.ts';
import type { VolumeStore } from './store.ts';

export interface S3Settings {
  /** Root of the storage pool: what outlives a reboot is kept there. */
  readonly poolDir: string;
  /** The instance's run directory. */
  readonly runDir: string;
  /** The pool is btrfs with quotas. */
  readonly subvolumes: boolean;
  /** Of what waits for its upload: a file that is being written is kept here until it is closed. */
  readonly cacheBytes: number;
  /** A running or starting sandbox has the volume. */
  readonly isMounted: (id: string) => boolean;
}

const CACHE = 'cache';

/** A daemon takes some 50 MiB: one that no running sandbox has needed for this long is ended. Sandboxes are often restarted. */
const IDLE_CHECK_MS = 60_000;

/**
 * Volumes in an object store, one prefix each, so that machines can share them. Their files have no owner, mode or links of their
 * own and the kernel cannot map ids of this file system: everything belongs to nobody and everyone may write to it.
 */
export class S3Volumes implements VolumeStore {
  readonly #settings: S3Settings;
  readonly #dir: string;
  readonly #mounts: string;
  readonly #lanes = new Lanes();
  /** Volume → pid of its daemon. */
  #daemons = new Map<string, number>();
  #idleCheck: NodeJS.Timeout | undefined;
  /** Not needed at the last check. */
  #idle = new Set<string>();

  constructor(settings: S3Settings) {
    this.#settings = settings;
    this.#dir = join(settings.poolDir, 'volumes', 's3');
    this.#mounts = join(settings.runDir, 'volumes');
  }

  async open(): Promise<void> {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    mkdirSync(this.#mounts, { recursive: true, mode: 0o711 });
    this.#daemons = findDaemons(this.#mounts);
    this.#idleCheck = setInterval(() => void this.#endIdle(), IDLE_CHECK_MS).unref();
  }

  async create(id: string, access: ObjectAccess | null): Promise<void> {
    if (access === null) throw new RunnerError('INVALID_SPEC', 'An S3 volume needs access to its objects');
    const lacking = lackingProgram();
    if (lacking !== null) throw new RunnerError('INVALID_SPEC', lacking);
    const dir = join(this.#dir, id);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const known = existsSync(join(dir, 'access.json')) ? readFileSync(join(dir, 'access.json'), 'utf8') : null;
    if (known === JSON.stringify(access)) return;
    replace(join(dir, 'rclone.conf'), configOf(access));
    replace(join(dir, 'access.json'), JSON.stringify(access));
  }

  destroy(id: string): Promise<void> {
    return this.#lanes.run(id, 'destroy', async () => {
      await this.#end(id);
      await rm(join(this.#dir, id), { recursive: true, force: true });
    });
  }

  async list(): Promise<string[]> {
    return readdirSync(this.#dir).filter((id) => existsSync(join(this.#dir, id, 'access.json')));
  }

  async detach(id: string, subpath: string | null, _userNs: number, attributes: bigint): Promise<number | null> {
    const access = this.#access(id);
    if (access === null) return null;
    // A store has no empty directories: an object of this name stands for one.
    if (subpath !== null) await markDirectory(access, subpath);
    const pid = await this.#lanes.run(id, 'daemon', () => this.#daemon(id, access));
    const { mountPoint } = this.#files(id);
    // The daemon's mount namespace is that of the runner that started it.
    const namespace = openSync(`/proc/${pid}/ns/mnt`, 'r');
    try {
      const volumeFd = inMountNs(namespace, () => openSync(mountPoint, O_PATH | constants.O_DIRECTORY));
      const directoryFd = subpath === null ? volumeFd : await openSubpathLater(volumeFd, subpath);
      try {
        return inMountNs(namespace, () => detachedMount(directoryFd, null, attributes));
      } finally {
        closeSync(directoryFd);
      }
    } finally {
      closeSync(namespace);
    }
  }

  /** Daemons that sandboxes need stay. */
  async close(): Promise<void> {
    clearInterval(this.#idleCheck);
    this.#idle = new Set(this.#daemons.keys());
    await this.#endIdle();
  }

  async #endIdle(): Promise<void> {
    const unused = [...this.#daemons.keys()].filter((id) => !this.#settings.isMounted(id));
    const ending = unused.filter((id) => this.#idle.has(id));
    this.#idle = new Set(unused);
    await Promise.all(ending.map((id) => this.#lanes.run(id, 'idle', async () => {
      if (!this.#settings.isMounted(id)) await this.#end(id);
    })));
  }

  /** Pid of the volume's daemon, started when there is none that serves. */
  async #daemon(id: string, access: ObjectAccess): Promise<number> {
    const files = this.#files(id);
    const running = this.#daemons.get(id);
    if (running !== undefined && daemonMountPoint(running) === files.mountPoint && isMounted(running, files.mountPoint)) return running;
    await this.#end(id);
    mkdirSync(files.mountPoint, { recursive: true, mode: 0o700 });
    this.#makeCache(join(this.#dir, id));
    try {
      const pid = await startDaemon(`${access.bucket}/${access.prefix.replace(/\/$/, '')}`, files);
      this.#daemons.set(id, pid);
      return pid;
    } catch (error) {
      throw new RunnerError('START_FAILED', `The volume ${id} could not be mounted: ${(error as Error).message}`, error);
    }
  }

  /** Past its quota a write through the daemon fails, and the pool stays usable for everyone. */
  #makeCache(dir: string): void {
    const path = join(dir, CACHE);
    if (!this.#settings.subvolumes) return void mkdirSync(path, { recursive: true, mode: 0o700 });
    if (!existsSync(path)) withDirectory(dir, (fd) => createSubvolume(fd, CACHE));
    withDirectory(path, (fd) => limitSubvolume(fd, this.#settings.cacheBytes));
  }

  async #end(id: string): Promise<void> {
    const { mountPoint } = this.#files(id);
    const pid = this.#daemons.get(id);
    if (pid !== undefined) await endDaemon(pid, mountPoint);
    this.#daemons.delete(id);
    unmountAll(mountPoint);
    if (existsSync(mountPoint)) rmdirSync(mountPoint); // never recursive: a mount that somehow stayed keeps its files
  }

  #access(id: string): ObjectAccess | null {
    try {
      return JSON.parse(readFileSync(join(this.#dir, id, 'access.json'), 'utf8')) as ObjectAccess;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  #files(id: string): DaemonFiles {
    const dir = join(this.#dir, id);
    return { mountPoint: join(this.#mounts, id), config: join(dir, 'rclone.conf'), cacheDir: join(dir, CACHE), log: join(dir, 'log') };
  }
}

/** An INI file; values of ours hold no line breaks. */
function configOf(access: ObjectAccess): string {
  const { endpoint, region, accessKey, secretKey, sessionToken } = access;
  return [
    '[volume]', 'type = s3', 'provider = Other', `endpoint = ${endpoint}`, `region = ${region}`, `access_key_id = ${accessKey}`, `secret_access_key = ${secretKey}`,
    ...(sessionToken === null ? [] : [`session_token = ${sessionToken}`]), '',
  ].join('\n');
}

function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

async function markDirectory(access: ObjectAccess, subpath: string): Promise<void> {
  const [{ openBlobs }, { Readable }] = await Promise.all([import('@paddock/store'), import('node:stream')]);
  try {
    await openBlobs(access).put(`${subpath}/`, Readable.from([]));
  } catch (error) {
    throw new RunnerError('START_FAILED', `The object store that holds the volume failed: ${(error as Error).message}`, error);
  }
}
