import { chmodSync, closeSync, constants, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, renameSync, rmSync, rmdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '@paddock/contract';
import { RunnerError } from '../runner-error.ts';
import { errorCode, syncFileSystemOf } from '../sys/index.ts';
import type { Disks, NetworkSlot, ShownView, View } from '../types.ts';
import { Allowances } from './allowances.ts';
import { createSubvolume, destroySubvolume, enableQuota, limitSubvolume, subvolumeId } from './btrfs.ts';
import { BtrfsTemplates, SUBVOLUME } from './btrfs-templates.ts';
import { LAYERS } from './inode-space.ts';
import type { StorageLog } from './log.ts';
import { Overlays } from './overlay.ts';
import { closePool, openPool, withDirectory, type Pool } from './pool.ts';
import { QuotaSweep } from './quota-sweep.ts';
import { boundUnwritten } from './unwritten.ts';

/**
 * Below this much free space no disk is created. Running sandboxes need the rest to fail with ENOSPC in their own files
 * and not in the file system's metadata, which would turn the whole pool read-only.
 */
const RESERVE_BYTES = 512 * 1024 ** 2;

export interface DiskSettings {
  readonly layout: Layout;
  readonly sizeGiB: number;
  readonly device: string | null;
  readonly log: StorageLog;
}

/** One btrfs subvolume a sandbox, with a quota that counts data and metadata. */
export class BtrfsDisks implements Disks {
  readonly poolDir: string;
  readonly recordsDir: string;
  readonly layersDir: string;
  readonly templates: BtrfsTemplates;
  readonly #disksDir: string;
  readonly #rebuildsDir: string;
  readonly #trashDir: string;
  readonly #settings: DiskSettings;
  readonly #overlays: Overlays;
  readonly #sweep: QuotaSweep;
  readonly #allowances: Allowances;
  /** Disks that were created and not yet mounted, with the quota that the mount puts on them. Nobody runs on them. */
  readonly #unlimited = new Map<string, number>();
  #pool: Pool | null = null;

  constructor(settings: DiskSettings) {
    this.#settings = settings;
    this.poolDir = join(settings.layout.dataDir, 'pool');
    this.recordsDir = join(this.poolDir, 'records');
    this.layersDir = join(this.poolDir, LAYERS);
    this.#disksDir = join(this.poolDir, 'disks');
    this.#rebuildsDir = join(this.poolDir, 'rebuilds');
    this.#trashDir = join(this.poolDir, 'trash');
    this.#allowances = new Allowances(join(this.poolDir, 'allowances'));
    this.templates = new BtrfsTemplates(join(this.poolDir, 'templates'), this.#allowances, (path) => this.#discard(path));
    this.#overlays = new Overlays(settings.layout.runDir);
    this.#sweep = new QuotaSweep(this.poolDir);
  }

  async open(): Promise<void> {
    const { layout, sizeGiB, device, log } = this.#settings;
    await this.#overlays.open();
    this.#pool = await openPool({ dataDir: layout.dataDir, sizeGiB, device, label: `paddock-${layout.instance}` });
    chmodSync(this.poolDir, 0o700);
    for (const dir of [this.#disksDir, this.#rebuildsDir, this.#trashDir, this.recordsDir]) mkdirSync(dir, { recursive: true, mode: 0o700 });
    const quotas = withDirectory(this.poolDir, enableQuota);
    chmodSync(this.layersDir, 0o700);
    this.#allowances.open();
    await this.templates.open();
    for (const name of readdirSync(this.#trashDir)) await this.#empty(join(this.#trashDir, name));
    for (const name of readdirSync(this.#rebuildsDir)) await this.#discard(join(this.#rebuildsDir, name));
    if (this.#sweep.run() > 0) this.#sweep.later();
    log.info({ device: device ?? this.#pool.file, quotas, unwrittenBytes: boundUnwritten(this.poolDir), ...(await this.usage()) }, 'storage pool open');
  }

  async create(id: string, quotaBytes: number, template: string | null = null): Promise<void> {
    const disk = this.#disk(id);
    const known = existsSync(disk);
    if (!known && this.#freeBytes() < RESERVE_BYTES) throw new RunnerError('RUNNER_FULL', 'The storage pool is full.');
    if (!known && template !== null) await this.templates.clone(template, this.#disksDir, id);
    else if (!known) withDirectory(this.#disksDir, (fd) => createSubvolume(fd, id));
    // The mount makes directories below `work`. Where a full disk refuses them, overlayfs mounts read-only and its user can make no room.
    withDirectory(disk, (fd) => limitSubvolume(fd, null));
    this.#unlimited.set(id, quotaBytes);
    for (const name of ['upper', 'work']) mkdirSync(join(disk, name), { recursive: true, mode: 0o755 });
  }

  async setQuota(id: string, quotaBytes: number): Promise<void> {
    this.#unlimited.delete(id);
    withDirectory(this.#disk(id), (fd) => limitSubvolume(fd, quotaBytes + this.#allowances.of(id, subvolumeId(fd))));
  }

  async snapshot(id: string, template: string): Promise<void> {
    await this.templates.make(template, this.#disk(id));
  }

  async settleSnapshot(id: string, template: string, quotaBytes: number): Promise<number> {
    this.templates.charge(template, this.#disk(id));
    await this.setQuota(id, quotaBytes);
    return this.#allowances.heldBy(template);
  }

  /** A place of the kind that `destroy` empties, so that one call makes a disk of it. */
  async rebuild(id: string, bytes: number): Promise<string> {
    await this.dropRebuild(id);
    if (this.#freeBytes() < RESERVE_BYTES + bytes) throw new RunnerError('RUNNER_FULL', `The storage pool has no room for the ${Math.ceil(bytes / 1024 ** 2)} MiB of the disk.`);
    const dir = join(this.#rebuildsDir, checkedId(id));
    mkdirSync(dir, { mode: 0o700 });
    withDirectory(dir, (fd) => createSubvolume(fd, SUBVOLUME));
    for (const name of ['upper', 'work']) mkdirSync(join(dir, SUBVOLUME, name), { mode: 0o755 });
    return join(dir, SUBVOLUME, 'upper');
  }

  async adoptRebuild(id: string, allowanceBytes: number): Promise<void> {
    const dir = join(this.#rebuildsDir, checkedId(id));
    // Whatever the name stood for was an older state of the same disk, or an empty one.
    await this.destroy(id);
    this.#allowances.grant(id, allowanceBytes);
    renameSync(join(dir, SUBVOLUME), this.#disk(id));
    rmdirSync(dir);
    await syncFileSystemOf(this.poolDir);
  }

  async adoptTemplate(name: string): Promise<number> {
    const rebuilt = join(this.#rebuildsDir, checkedId(name), SUBVOLUME);
    await this.templates.make(name, rebuilt);
    // A disk of it that is archived and rebuilt is charged for what it had from the template: that is how much.
    this.templates.charge(name, rebuilt);
    await this.dropRebuild(name);
    return this.#allowances.heldBy(name);
  }

  async dropRebuild(id: string): Promise<void> {
    const dir = join(this.#rebuildsDir, checkedId(id));
    if (existsSync(dir)) await this.#discard(dir);
  }

  upper(id: string): string {
    return join(this.#disk(id), 'upper');
  }

  /** What `adoptRebuild` must be told when the disk, a clone of the template, is rebuilt elsewhere. */
  allowance(id: string, template: string | null): number {
    return this.#allowances.granted(id) + (template === null ? 0 : this.#allowances.heldBy(template));
  }

  async mount(id: string, layers: readonly string[], slot: NetworkSlot): Promise<string> {
    try {
      return await this.#overlays.mount(id, this.#disk(id), layers, slot);
    } finally {
      const quotaBytes = this.#unlimited.get(id);
      if (quotaBytes !== undefined) await this.setQuota(id, quotaBytes);
    }
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

  /** Out of the list at once. Deleted in a directory of its own, as the kernel holds that for as long as it takes. */
  async destroy(id: string): Promise<void> {
    const disk = this.#disk(id);
    await this.#overlays.unmount(id);
    this.#allowances.revoke(id);
    this.#unlimited.delete(id);
    const trash = mkdtempSync(join(this.#trashDir, '-'));
    try {
      renameSync(disk, join(trash, SUBVOLUME));
    } catch (error) {
      rmdirSync(trash);
      if (errorCode(error) === 'ENOENT') return;
      throw error;
    }
    await this.#empty(trash);
  }

  async list(): Promise<string[]> {
    return readdirSync(this.#disksDir);
  }

  async usage(): Promise<{ totalBytes: number; usedBytes: number }> {
    const pool = statfsSync(this.poolDir);
    const usedBytes = (pool.blocks - pool.bfree) * pool.bsize;
    return { totalBytes: usedBytes + this.#freeBytes(), usedBytes };
  }

  async close(): Promise<void> {
    this.#sweep.close();
    await this.#overlays.unmountEverything();
    if (this.#pool !== null) closePool(this.#pool);
    this.#pool = null;
  }

  /** What can really be written: a sparse pool file can promise more than the file system below it has. */
  #freeBytes(): number {
    const pool = statfsSync(this.poolDir);
    const free = pool.bavail * pool.bsize;
    if (this.#pool?.file == null) return free;
    const below = statfsSync(this.#pool.file);
    return Math.min(free, below.bavail * below.bsize);
  }

  /** @param dir directory that may hold a subvolume called SUBVOLUME, and files */
  async #discard(dir: string): Promise<void> {
    const trash = mkdtempSync(join(this.#trashDir, '-'));
    renameSync(dir, trash);
    await this.#empty(trash);
  }

  /** @param trash directory that holds at most a discarded disk, and files */
  async #empty(trash: string): Promise<void> {
    const fd = openSync(trash, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      if (existsSync(join(trash, SUBVOLUME))) {
        await destroySubvolume(fd, SUBVOLUME);
        this.#sweep.later();
      }
    } finally {
      closeSync(fd);
    }
    rmSync(trash, { recursive: true });
  }

  #disk(id: string): string {
    return join(this.#disksDir, checkedId(id));
  }
}

/** An id becomes a file name. */
export function checkedId(id: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id)) throw new RunnerError('INVALID_SPEC', `Not a sandbox id: ${JSON.stringify(id.slice(0, 64))}.`);
  return id;
}
