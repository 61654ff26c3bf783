import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, statfsSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RunnerError } from '../runner-error.ts';
import { syncFileSystemOf } from '../sys/index.ts';
import type { Disks, NetworkSlot, ShownView, View } from '../types.ts';
import { checkedId, type DiskSettings } from './btrfs-disks.ts';
import { checkedTemplate } from './btrfs-templates.ts';
import { Overlays } from './overlay.ts';

const run = promisify(execFile);

/** Plain directories, for hosts without btrfs. Nothing limits what a sandbox writes. */
export class DirectoryDisks implements Disks {
  readonly poolDir: string;
  readonly recordsDir: string;
  readonly layersDir: string;
  readonly #disksDir: string;
  readonly #rebuildsDir: string;
  readonly #templatesDir: string;
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
    this.#rebuildsDir = join(this.poolDir, 'rebuilds');
    this.#templatesDir = join(this.poolDir, 'templates');
    this.#trashDir = join(this.poolDir, 'trash');
    this.#overlays = new Overlays(settings.layout.runDir);
  }

  async open(): Promise<void> {
    await this.#overlays.open();
    mkdirSync(this.poolDir, { recursive: true, mode: 0o700 });
    chmodSync(this.poolDir, 0o700);
    await rm(this.#trashDir, { recursive: true, force: true });
    await rm(this.#rebuildsDir, { recursive: true, force: true });
    for (const dir of [this.#disksDir, this.#rebuildsDir, this.#templatesDir, this.#trashDir, this.recordsDir, this.layersDir]) mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#settings.log.warn(
      { dir: this.poolDir },
      'NO DISK QUOTAS: this host has no btrfs, so a sandbox can fill the whole file system. Install btrfs-progs and a kernel with btrfs.',
    );
  }

  async create(id: string, _quotaBytes: number, template: string | null = null): Promise<void> {
    if (template !== null && !existsSync(this.#disk(id))) await this.#clone(template, id);
    for (const name of ['upper', 'work']) mkdirSync(join(this.#disk(id), name), { recursive: true, mode: 0o755 });
  }

  /** Checks the disk's existence alone. */
  async setQuota(id: string, _quotaBytes: number): Promise<void> {
    statSync(this.#disk(id));
  }

  /** Copies: this file system has no snapshots. */
  async snapshot(id: string, template: string): Promise<void> {
    await this.templates.destroy(template);
    const dir = join(this.#templatesDir, checkedTemplate(template));
    await mkdir(`${dir}${UNFINISHED}`, { mode: 0o700 });
    await copy(join(this.#disk(id), 'upper'), `${dir}${UNFINISHED}/upper`);
    await syncFileSystemOf(this.poolDir);
    await rename(`${dir}${UNFINISHED}`, dir);
  }

  async settleSnapshot(_id: string, template: string): Promise<number> {
    const { stdout } = await run('du', ['--summarize', '--one-file-system', '--block-size=1', '--', this.templates.upper(template)]);
    return Number.parseInt(stdout, 10);
  }

  readonly templates = {
    list: async (): Promise<readonly string[]> => readdirSync(this.#templatesDir),
    upper: (name: string): string => join(this.#templatesDir, checkedTemplate(name), 'upper'),
    destroy: async (name: string): Promise<void> => {
      for (const suffix of ['', UNFINISHED]) await rm(join(this.#templatesDir, `${checkedTemplate(name)}${suffix}`), { recursive: true, force: true });
    },
  };

  async rebuild(id: string, bytes: number): Promise<string> {
    await this.dropRebuild(id);
    const { totalBytes, usedBytes } = await this.usage();
    if (totalBytes - usedBytes < bytes) throw new RunnerError('RUNNER_FULL', `The file system of the data directory has no room for the ${Math.ceil(bytes / 1024 ** 2)} MiB of the disk.`);
    const upper = join(this.#rebuildsDir, checkedId(id), 'upper');
    mkdirSync(upper, { recursive: true, mode: 0o755 });
    return upper;
  }

  async adoptRebuild(id: string): Promise<void> {
    await this.destroy(id);
    await syncFileSystemOf(this.poolDir);
    await rename(join(this.#rebuildsDir, checkedId(id)), this.#disk(id));
    await this.create(id, 0);
    await syncFileSystemOf(this.poolDir);
  }

  async adoptTemplate(name: string): Promise<number> {
    await this.templates.destroy(name);
    await syncFileSystemOf(this.poolDir);
    await rename(join(this.#rebuildsDir, checkedId(name)), join(this.#templatesDir, checkedTemplate(name)));
    return this.settleSnapshot(name, name);
  }

  async dropRebuild(id: string): Promise<void> {
    await rm(join(this.#rebuildsDir, checkedId(id)), { recursive: true, force: true });
  }

  upper(id: string): string {
    return join(this.#disk(id), 'upper');
  }

  allowance(): number {
    return 0;
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

  async #clone(template: string, id: string): Promise<void> {
    const source = this.templates.upper(template);
    if (!existsSync(source)) throw new RunnerError('IMAGE_NOT_FOUND', `The disk of the image "${template}" is not on this runner any more`);
    const unfinished = join(this.#rebuildsDir, checkedId(id));
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o755 });
    await copy(source, join(unfinished, 'upper'));
    await rename(unfinished, this.#disk(id));
  }

  #disk(id: string): string {
    return join(this.#disksDir, checkedId(id));
  }
}

const UNFINISHED = '.new';

/** With ids, times, extended attributes, hard links and whiteouts; shares the space where the file system can. */
async function copy(from: string, to: string): Promise<void> {
  await run('cp', ['--archive', '--reflink=auto', '--no-target-directory', '--', from, to]);
}
