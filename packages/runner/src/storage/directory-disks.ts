import { chmodSync, mkdirSync, readdirSync, statSync, statfsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Disks, NetworkSlot, ShownView, View } from '../types.ts';
import { checkedId, type DiskSettings } from './btrfs-disks.ts';
import { Overlays } from './overlay.ts';

/** Plain directories, for hosts without btrfs. Nothing limits what a sandbox writes. */
export class DirectoryDisks implements Disks {
  readonly poolDir: string;
  readonly recordsDir: string;
  readonly layersDir: string;
  readonly #disksDir: string;
  readonly #trashDir: string;
  readonly #settings: DiskSettings;
  readonly #overlays: Overlays;
  #discarded = 0;

  constructor(settings: DiskSettings) {
    this.#settings = settings;
    this.poolDir = join(settings.layout.dataDir, 'pool');
    this.recordsDir = join(this.poolDir, 'records');
    this.layersDir = join(this.poolDir, 'layers');
    this.#disksDir = join(this.poolDir, 'disks');
    this.#trashDir = join(this.poolDir, 'trash');
    this.#overlays = new Overlays(settings.layout.runDir);
  }

  async open(): Promise<void> {
    await this.#overlays.open();
    mkdirSync(this.poolDir, { recursive: true, mode: 0o700 });
    chmodSync(this.poolDir, 0o700);
    await rm(this.#trashDir, { recursive: true, force: true });
    for (const dir of [this.#disksDir, this.#trashDir, this.recordsDir, this.layersDir]) mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#settings.log.warn(
      { dir: this.poolDir },
      'NO DISK QUOTAS: this host has no btrfs, so a sandbox can fill the whole file system. Install btrfs-progs and a kernel with btrfs.',
    );
  }

  async create(id: string, _quotaBytes: number): Promise<void> {
    for (const name of ['upper', 'work']) mkdirSync(join(this.#disk(id), name), { recursive: true, mode: 0o755 });
  }

  /** Checks the disk's existence alone. */
  async setQuota(id: string, _quotaBytes: number): Promise<void> {
    statSync(this.#disk(id));
  }

  async mount(id: string, layers: readonly string[], slot: NetworkSlot): Promise<string> {
    return this.#overlays.mount(id, this.#disk(id), layers, slot);
  }

  async show(id: string, views: readonly View[], slot: NetworkSlot): Promise<readonly ShownView[]> {
    return this.#overlays.show(id, views, slot);
  }

  path(id: string): string {
    return this.#disk(id);
  }

  async unmount(id: string): Promise<void> {
    await this.#overlays.unmount(id);
  }

  /** Gone from the list at once; its files follow. */
  async destroy(id: string): Promise<void> {
    const disk = this.#disk(id);
    await this.#overlays.unmount(id);
    const discarded = join(this.#trashDir, `${process.pid}-${(this.#discarded += 1)}`);
    try {
      await rename(disk, discarded);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    await rm(discarded, { recursive: true, force: true });
  }

  async list(): Promise<string[]> {
    return readdirSync(this.#disksDir);
  }

  async usage(): Promise<{ totalBytes: number; usedBytes: number }> {
    const below = statfsSync(this.poolDir);
    const usedBytes = (below.blocks - below.bfree) * below.bsize;
    return { totalBytes: usedBytes + below.bavail * below.bsize, usedBytes };
  }

  async close(): Promise<void> {
    await this.#overlays.unmountEverything();
  }

  #disk(id: string): string {
    return join(this.#disksDir, checkedId(id));
  }
}
