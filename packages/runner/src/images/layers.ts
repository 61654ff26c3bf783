/** The directories that images are stacks of: each made once, shared, and gone when nothing needs it. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Notes, noteOfDisk } from './publish/notes.ts';
import { Vouchers, type Voucher } from './vouchers.ts';

/** `sha256-<hex>` of the uncompressed tar (OCI's diffID) where it has one, else anything as unique. A name with a dot in front is no layer. */
export const LAYER_NAME = /^[a-z0-9][a-z0-9_-]{0,127}$/;

export interface LayerInfo {
  /** Bytes of its files. */
  readonly sizeBytes: number;
  /** Directories that the layer has only because of what is in them: how they are is for the layers below to say. */
  readonly implied?: readonly string[];
}

/** Directories on their way out: a rename takes a layer out of the store at once, its files follow. */
const TRASH = '.trash';
const VOUCHERS = '.vouchers';
const PUBLISHED = '.published';

export class Layers {
  /** What is known of where layers came from. They go with their layer. */
  readonly vouchers: Vouchers;
  /** What registries were given of layers and template disks. */
  readonly notes: Notes;
  readonly #dir: string;
  readonly #known = new Map<string, LayerInfo>();
  /** By layer and source. */
  readonly #making = new Map<string, Promise<unknown>>();
  /** Layer → number of makings that need it. */
  readonly #held = new Map<string, number>();

  /** @param dir the pool's directory of layers: only what is made in it has the inode numbers of layers */
  constructor(dir: string) {
    this.#dir = dir;
    this.vouchers = new Vouchers(join(dir, VOUCHERS));
    this.notes = new Notes(join(dir, PUBLISHED));
  }

  /** Finishes removals that were cut short. */
  async open(): Promise<void> {
    const trash = join(this.#dir, TRASH);
    await rm(trash, { recursive: true, force: true });
    mkdirSync(trash, { mode: 0o700 });
    this.vouchers.open();
    this.notes.open();
  }

  path(name: string): string {
    return join(this.#dir, checkedName(name));
  }

  /** Takes in a layer that a record names. Throws when it is not there. */
  adopt(name: string, info: LayerInfo): void {
    if (!existsSync(this.path(name))) throw new Error(`The layer ${name} is missing.`);
    this.#known.set(name, info);
  }

  hold(): LayerHold {
    return new LayerHold(this, (name, by) => {
      const count = (this.#held.get(name) ?? 0) + by;
      if (count > 0) this.#held.set(name, count);
      else this.#held.delete(name);
    });
  }

  info(name: string): LayerInfo | null {
    return this.#known.get(name) ?? null;
  }

  /** @param workDir where the directory is made, on the same file system @param source see LayerAccess */
  async obtain(name: string, workDir: string, signal: AbortSignal, make: (dir: string) => Promise<LayerInfo>, source = ''): Promise<LayerInfo> {
    const key = `${name} ${source}`;
    for (;;) {
      const known = this.#known.get(name);
      if (known !== undefined) return known;
      const running = this.#making.get(key);
      if (running === undefined) break;
      // Whoever makes it may fail for reasons of its own; then this one tries.
      await orAborted(running, signal);
    }
    signal.throwIfAborted();
    const making = this.#make(name, workDir, make);
    const settled = making.catch(() => undefined).finally(() => this.#making.delete(key));
    this.#making.set(key, settled);
    return making;
  }

  /** Makes a layer of a finished directory on the same file system; a layer of that name that is there already stays and the directory is not touched. */
  async add(name: string, dir: string, info: LayerInfo): Promise<LayerInfo> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    // Left by a runner that was killed before it wrote a record, so perhaps not whole.
    this.notes.forget(name);
    const stale = existsSync(this.path(name)) ? this.#discard(name) : null;
    renameSync(dir, this.path(name));
    this.#known.set(name, info);
    // Others who made the layer at the same time find it from here on.
    if (stale !== null) await rm(stale, { recursive: true, force: true });
    return info;
  }

  /** Removes every layer that neither `needed` nor a making names. @param disks that are needed, for what is noted of them */
  async collect(needed: ReadonlySet<string>, disks: ReadonlySet<string>): Promise<void> {
    const leaving: string[] = [];
    const stays = (name: string): boolean => needed.has(name) || this.#held.has(name);
    this.vouchers.collect(stays);
    const noted = new Set([...disks].map(noteOfDisk));
    this.notes.collect((name) => noted.has(name) || stays(name));
    for (const name of readdirSync(this.#dir)) {
      if (name.startsWith('.') || stays(name)) continue;
      this.#known.delete(name);
      leaving.push(this.#discard(name));
    }
    for (const dir of leaving) await rm(dir, { recursive: true, force: true });
  }

  async #make(name: string, workDir: string, make: (dir: string) => Promise<LayerInfo>): Promise<LayerInfo> {
    const dir = join(mkdtempSync(join(workDir, 'layer-')), 'root');
    mkdirSync(dir, { mode: 0o755 });
    return this.add(name, dir, await make(dir));
  }

  #discard(name: string): string {
    const trash = mkdtempSync(join(this.#dir, TRASH, '-'));
    renameSync(this.path(name), join(trash, 'layer'));
    return trash;
  }
}

/** What one making needs of the layers, counted once each. */
export class LayerHold {
  readonly #layers: Layers;
  readonly #count: (name: string, by: 1 | -1) => void;
  readonly #names = new Set<string>();

  constructor(layers: Layers, count: (name: string, by: 1 | -1) => void) {
    this.#layers = layers;
    this.#count = count;
  }

  add(name: string): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#count(name, 1);
  }

  async obtain(name: string, workDir: string, signal: AbortSignal, make: (dir: string) => Promise<LayerInfo>, source?: string): Promise<LayerInfo> {
    this.add(checkedName(name));
    return this.#layers.obtain(name, workDir, signal, make, source);
  }

  async addMade(name: string, dir: string, info: LayerInfo): Promise<LayerInfo> {
    this.add(checkedName(name));
    return this.#layers.add(name, dir, info);
  }

  /** Of a layer that this making needs: others may be collected, and vouchers with them. */
  isVouched(name: string, voucher: Voucher): boolean {
    return this.#names.has(name) && this.#layers.vouchers.has(name, voucher);
  }

  vouch(name: string, voucher: Voucher): void {
    if (this.#names.has(name)) this.#layers.vouchers.add(name, voucher);
  }

  release(): void {
    for (const name of this.#names) this.#count(name, -1);
    this.#names.clear();
  }
}

function checkedName(name: string): string {
  if (!LAYER_NAME.test(name)) throw new Error(`Not a layer: ${JSON.stringify(name.slice(0, 64))}`);
  return name;
}

async function orAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
