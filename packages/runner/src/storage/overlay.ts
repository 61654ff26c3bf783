/** Puts a sandbox's root file system together: idmapped layers below, its own disk on top. */
import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { MOUNT_ATTR, MS, asFs, bindMount, detachTree, errorCode, idmapMount, mount } from '../sys/index.ts';
import type { NetworkSlot, ShownView, View } from '../types.ts';

/** Names below a sandbox's directory; layers are called 0, 1, 2 … */
const DISK = 'd';
const ROOT = 'root';

/**
 * No redirects and no metacopy: `upper` stays a plain tree that needs no overlay to be understood.
 */
const OPTIONS = 'redirect_dir=off,metacopy=off,index=off';

/**
 * `<runDir>/roots/<id>` is a mount of itself and carries all of a sandbox's mounts, so that one call detaches them. It may
 * be entered by every id, as the runtime walks to the root with the sandbox's. The runner's mount namespace hides it from
 * the host's users.
 */
export class Overlays {
  readonly #dir: string;
  readonly #unmounting = new Map<string, Promise<void>>();

  /** @param runDir the instance's run directory */
  constructor(runDir: string) {
    this.#dir = join(runDir, 'roots');
  }

  /** Makes the directory and clears what an earlier runner in this mount namespace left. */
  async open(): Promise<void> {
    mkdirSync(this.#dir, { recursive: true, mode: 0o711 });
    await this.unmountEverything();
  }

  /**
   * @param disk directory that holds `upper` and `work`
   * @param layers topmost first
   * @returns path of the root file system
   */
  async mount(id: string, disk: string, layers: readonly string[], slot: NetworkSlot): Promise<string> {
    await this.unmount(id);
    const base = join(this.#dir, id);
    const root = join(base, ROOT);
    mkdirSync(base, { mode: 0o711 });
    try {
      bindMount(base, base);
      mkdirSync(root, { mode: 0o711 });
      const userNs = openSync(slot.userNsPath, 'r');
      try {
        layers.forEach((layer, index) => show(layer, join(base, String(index)), userNs, MOUNT_ATTR.RDONLY));
        show(disk, join(base, DISK), userNs, 0n);
      } finally {
        closeSync(userNs);
      }
      // Relative names: 500 layers fit in the page that mount(2) takes, and the sandbox learns no path of the host.
      const lower = layers.map((_, index) => index).join(':');
      const data = `lowerdir=${lower},upperdir=${DISK}/upper,workdir=${DISK}/work,${OPTIONS}`;
      // Set-uid programs must work inside, device nodes must not: an image may bring any it likes.
      inDirectory(base, () => asFs(slot.idBase, () => mount('overlay', root, 'overlay', MS.NODEV | MS.NOATIME, data)));
    } catch (error) {
      await this.unmount(id);
      throw error;
    }
    return root;
  }

  /** For a sandbox that `mount` has mounted. */
  show(id: string, views: readonly View[], slot: NetworkSlot): readonly ShownView[] {
    const base = join(this.#dir, id);
    const userNs = openSync(slot.userNsPath, 'r');
    try {
      return views.map((view, index): ShownView => {
        if (view.kind === 'disk') return { source: join(base, DISK, view.directory), target: view.target, readOnly: false };
        return { source: showLayers(base, `view${index}`, view.layers, slot, userNs), target: view.target, readOnly: true };
      });
    } finally {
      closeSync(userNs);
    }
  }

  /** Detaches everything mounted for the sandbox. Copies in other mount namespaces live on. Idempotent. */
  unmount(id: string): Promise<void> {
    const running = this.#unmounting.get(id);
    if (running !== undefined) return running;
    const unmounting = detach(join(this.#dir, id)).finally(() => this.#unmounting.delete(id));
    this.#unmounting.set(id, unmounting);
    return unmounting;
  }

  async unmountEverything(): Promise<void> {
    await Promise.all(readdirSync(this.#dir).map((id) => this.unmount(id)));
  }
}

async function detach(base: string): Promise<void> {
  let names: string[];
  try {
    names = readdirSync(base);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  await detachTree(base);
  // rmdir, never recursive: a mount that somehow stayed keeps its files.
  for (const name of names) rmdirSync(join(base, name));
  rmdirSync(base);
}

function show(source: string, target: string, userNs: number, attributes: bigint): void {
  mkdirSync(target);
  idmapMount(source, target, userNs, attributes | MOUNT_ATTR.NODEV);
}

/** One layer needs no overlay, and an overlay without a writable layer wants at least two. */
function showLayers(base: string, name: string, layers: readonly string[], slot: NetworkSlot, userNs: number): string {
  const target = join(base, name);
  if (layers.length === 1) {
    show(layers[0]!, target, userNs, MOUNT_ATTR.RDONLY);
    return target;
  }
  const lower = layers.map((layer, index) => {
    show(layer, `${target}.${index}`, userNs, MOUNT_ATTR.RDONLY);
    return `${name}.${index}`;
  });
  mkdirSync(target);
  const data = `lowerdir=${lower.join(':')},${OPTIONS}`;
  inDirectory(base, () => asFs(slot.idBase, () => mount('overlay', target, 'overlay', MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOATIME, data)));
  return target;
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
