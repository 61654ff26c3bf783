/** Puts a sandbox's root file system together: idmapped layers below, its own disk on top. */
import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { MOUNT_ATTR, MS, asFs, errorCode, idmapMount, mount, unmountAll } from '../sys/index.ts';
import type { NetworkSlot } from '../types.ts';

/** Name of the disk among a sandbox's mounts; layers are called 0, 1, 2 … */
const DISK = 'd';

/**
 * - Relative names in the options: they are short enough for 500 layers in the one page mount(2) takes, and tell the
 *   sandbox nothing of the host's paths.
 * - No redirects and no metacopy: `upper` stays a plain tree that can become an image layer.
 */
const OPTIONS = 'redirect_dir=off,metacopy=off,index=off';

export class Overlays {
  readonly #mountsDir: string;
  readonly #rootsDir: string;

  /** @param runDir the instance's run directory; searchable by every id, as the runtime enters the root with the sandbox's */
  constructor(runDir: string) {
    this.#mountsDir = join(runDir, 'mounts');
    this.#rootsDir = join(runDir, 'roots');
  }

  /** Makes the directories and clears what an earlier runner in this mount namespace left. */
  open(): void {
    mkdirSync(this.#mountsDir, { recursive: true, mode: 0o700 });
    mkdirSync(this.#rootsDir, { recursive: true, mode: 0o711 });
    this.unmountEverything();
  }

  /**
   * @param disk directory that holds `upper` and `work`
   * @param layers topmost first
   * @returns path of the root file system
   */
  mount(id: string, disk: string, layers: readonly string[], slot: NetworkSlot): string {
    const root = join(this.#rootsDir, id);
    const parts = join(this.#mountsDir, id);
    this.unmount(id);
    mkdirSync(root, { recursive: true, mode: 0o711 });
    mkdirSync(parts, { mode: 0o700 });
    try {
      const userNs = openSync(slot.userNsPath, 'r');
      try {
        layers.forEach((layer, index) => bind(layer, join(parts, String(index)), userNs, MOUNT_ATTR.RDONLY));
        bind(disk, join(parts, DISK), userNs, 0n);
      } finally {
        closeSync(userNs);
      }
      const lower = layers.map((_, index) => index).join(':');
      const data = `lowerdir=${lower},upperdir=${DISK}/upper,workdir=${DISK}/work,${OPTIONS}`;
      // Set-uid programs must work inside, device nodes must not: an image may bring any it likes.
      inDirectory(parts, () => asFs(slot.idBase, () => mount('overlay', root, 'overlay', MS.NODEV | MS.NOATIME, data)));
    } catch (error) {
      this.unmount(id);
      throw error;
    }
    return root;
  }

  /** Detaches everything mounted for the sandbox. Copies in other mount namespaces live on. Idempotent. */
  unmount(id: string): void {
    const root = join(this.#rootsDir, id);
    unmountAll(root);
    removeDirectory(root);
    const parts = join(this.#mountsDir, id);
    for (const name of entries(parts)) {
      unmountAll(join(parts, name));
      removeDirectory(join(parts, name));
    }
    removeDirectory(parts);
  }

  unmountEverything(): void {
    for (const id of new Set([...entries(this.#mountsDir), ...entries(this.#rootsDir)])) this.unmount(id);
  }
}

function bind(source: string, target: string, userNs: number, attributes: bigint): void {
  mkdirSync(target);
  idmapMount(source, target, userNs, attributes | MOUNT_ATTR.NODEV);
}

/** The directory is the process's for the length of one synchronous call; everything else here uses absolute paths. */
function inDirectory<T>(path: string, run: () => T): T {
  const before = process.cwd();
  process.chdir(path);
  try {
    return run();
  } finally {
    process.chdir(before);
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** rmdir, never recursive: what is below could be a mount. */
function removeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
