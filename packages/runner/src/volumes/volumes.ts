import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import type { ObjectAccess, RunnerVolume, VolumeDriver, VolumeMount } from '@paddock/contract';
import { Lanes } from '../lifecycle/lanes.ts';
import { RunnerError } from '../runner-error.ts';
import { MOUNT_ATTR, O_PATH, asFs, attachMount, inMountNs, openInRoot, parseMounts } from '../sys/index.ts';
import type { NetworkSlot } from '../types.ts';
import { openMountPoint, openSubpathLater } from './places.ts';
import type { VolumeStore } from './store.ts';

/** Whoever writes to a volume may bring anything; programs run from it, but as whoever starts them. */
const ATTRIBUTES = MOUNT_ATTR.NODEV | MOUNT_ATTR.NOSUID;

const DIRECTORY = O_PATH | constants.O_DIRECTORY;

export interface VolumesInput {
  /** Drivers of this runner. */
  readonly stores: Readonly<Partial<Record<VolumeDriver, VolumeStore>>>;
  /** A sandbox of this runner, running or not, has the volume in its spec. */
  readonly isUsed: (id: string) => boolean;
}

/** A mount that is where it belongs, and its root. */
interface Placed {
  readonly mount: VolumeMount;
  readonly fd: number;
}

/** The volumes of this runner, and showing them to sandboxes. */
export class Volumes {
  readonly #input: VolumesInput;
  readonly #lanes = new Lanes();

  constructor(input: VolumesInput) {
    this.#input = input;
  }

  async open(): Promise<void> {
    for (const store of Object.values(this.#input.stores)) await store.open();
  }

  async close(): Promise<void> {
    await this.#lanes.idle();
    for (const store of Object.values(this.#input.stores)) await store.close();
  }

  async list(): Promise<RunnerVolume[]> {
    const found: RunnerVolume[] = [];
    for (const [driver, store] of Object.entries(this.#input.stores)) {
      for (const id of await store.list()) found.push({ id, driver: driver as VolumeDriver });
    }
    return found;
  }

  put(id: string, driver: VolumeDriver, access: ObjectAccess | null): Promise<RunnerVolume> {
    return this.#lanes.run(id, `put ${driver} ${JSON.stringify(access)}`, async () => {
      await this.#store(driver).create(id, access);
      return { id, driver };
    });
  }

  remove(id: string): Promise<void> {
    return this.#lanes.run(id, 'remove', async () => {
      if (this.#input.isUsed(id)) throw new RunnerError('VOLUME_IN_USE', `A sandbox of this runner has the volume ${id}`);
      for (const store of Object.values(this.#input.stores)) await store.destroy(id);
    });
  }

  /** Mounts volumes below a root file system that no process has entered yet. What mounts the root also unmounts them. */
  async mountInto(root: string, slot: NetworkSlot, mounts: readonly VolumeMount[]): Promise<void> {
    const rootFd = openSync(root, DIRECTORY);
    const userNs = openSync(slot.userNsPath, 'r');
    const placed: Placed[] = [];
    try {
      for (const mount of outermostFirst(mounts)) {
        const fd = await this.#detached(mount, userNs);
        placed.push({ mount, fd });
        const around = placed.filter(({ mount: { mountPath } }) => mount.mountPath.startsWith(`${mountPath}/`));
        // A path through a store is not walked by this thread: from the innermost mount on it is as good, and its root is known without asking.
        const base = around.some(({ mount: { driver } }) => driver === 's3') ? around.at(-1)! : null;
        if (base === null) place(fd, rootFd, slot.idBase, mount.mountPath, false);
        else if (base.mount.driver === 's3') await placeInStore(fd, base, mount.mountPath);
        else place(fd, base.fd, slot.idBase, mount.mountPath.slice(base.mount.mountPath.length), false);
      }
    } finally {
      for (const { fd } of placed) closeSync(fd);
      closeSync(userNs);
      closeSync(rootFd);
    }
  }

  /**
   * Mounts volumes in a running sandbox; those it has already are passed over.
   * @param pid its init
   * @param isAlive the pid still is that process
   */
  async attach(pid: number, isAlive: () => boolean, mounts: readonly VolumeMount[]): Promise<void> {
    const userNs = openSync(`/proc/${pid}/ns/user`, 'r');
    const mountNs = openSync(`/proc/${pid}/ns/mnt`, 'r');
    try {
      const idBase = rootIdOf(pid);
      const present = parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
      if (!isAlive()) throw new RunnerError('INVALID_SPEC', 'The sandbox ended meanwhile');
      const missing = mounts.filter((mount) => !present.some(({ target, root }) => target === mount.mountPath && root.endsWith(rootOf(mount))));
      for (const mount of outermostFirst(missing)) {
        await this.#withDetached(mount, userNs, (mountFd) => inMountNs(mountNs, () => {
          const rootFd = openSync('/', DIRECTORY);
          try {
            // Nothing that the sandbox may have mounted is asked: it could let this thread wait for ever.
            place(mountFd, rootFd, idBase, mount.mountPath, true);
          } finally {
            closeSync(rootFd);
          }
        }));
      }
    } finally {
      closeSync(mountNs);
      closeSync(userNs);
    }
  }

  async #withDetached(mount: VolumeMount, userNs: number, use: (mountFd: number) => void): Promise<void> {
    const mountFd = await this.#detached(mount, userNs);
    try {
      use(mountFd);
    } finally {
      closeSync(mountFd);
    }
  }

  async #detached({ driver, volumeId, subpath }: VolumeMount, userNs: number): Promise<number> {
    const mountFd = await this.#store(driver).detach(volumeId, subpath, userNs, ATTRIBUTES);
    if (mountFd === null) throw new RunnerError('INVALID_SPEC', `There is no volume ${volumeId} on this runner`);
    return mountFd;
  }

  #store(driver: VolumeDriver): VolumeStore {
    const store = this.#input.stores[driver];
    if (store === undefined) throw new RunnerError('INVALID_SPEC', `This runner has no driver "${driver}" for volumes`);
    return store;
  }
}

/** @param idBase host id of the sandbox's root, whose mount points are */
function place(mountFd: number, rootFd: number, idBase: number, path: string, oneMount: boolean): void {
  const pointFd = asFs(idBase, () => openMountPoint(rootFd, path, oneMount));
  try {
    attachMount(mountFd, pointFd);
  } finally {
    closeSync(pointFd);
  }
}

/** Into a volume whose file system may wait for a network: this thread must not. */
async function placeInStore(mountFd: number, outer: Placed, path: string): Promise<void> {
  const outerFd = openInRoot(outer.fd, '/', DIRECTORY);
  const pointFd = await openSubpathLater(outerFd, path.slice(outer.mount.mountPath.length + 1), `The mount path "${path}"`);
  try {
    attachMount(mountFd, pointFd);
  } finally {
    closeSync(pointFd);
  }
}

/** A volume may be mounted inside another one. */
function outermostFirst(mounts: readonly VolumeMount[]): VolumeMount[] {
  return mounts.toSorted((a, b) => a.mountPath.length - b.mountPath.length);
}

/** How the path of a mount's root inside its file system ends, as mountinfo shows it. */
function rootOf({ volumeId, subpath }: VolumeMount): string {
  return subpath === null ? `/${volumeId}` : `/${volumeId}/${subpath}`;
}

/** Host id of the user namespace's root. */
function rootIdOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/uid_map`, 'utf8').trim().split(/\s+/)[1]);
}
