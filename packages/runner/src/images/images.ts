import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PaddockConfig, RunnerImage } from '@paddock/contract';
import { RunnerError } from '../runner-error.ts';
import type { PooledDisks, StorageLog } from '../storage/index.ts';
import { unmountAll } from '../sys/index.ts';
import type { Image, ImageConfig } from '../types.ts';
import { bootstrap } from './bootstrap.ts';
import { LayerCache, runTool } from './layer-cache.ts';
import type { Progress } from './progress.ts';
import { loadRecipe, type Recipe } from './recipe.ts';
import { readUsers } from './users.ts';

/** `<pool>/images/<name>.json`. Its presence says that every layer it names is whole and on disk. */
interface ImageRecord {
  readonly name: string;
  /** Names of directories in the layers directory, topmost first. */
  readonly layers: readonly string[];
  readonly sizeBytes: number;
  readonly config: Omit<ImageConfig, 'users'>;
  /** What it was made from. */
  readonly origin: { readonly recipe: string; readonly suite: string };
}

export interface ImagesInput {
  readonly disks: PooledDisks;
  readonly config: PaddockConfig['image'];
  readonly log: StorageLog;
  /** Called with every change of an image's state; progress at most every PROGRESS_MS. */
  readonly onChange: (image: RunnerImage) => void;
  /** Directory with tars of finished layers, read and filled; null: none. */
  readonly cacheDir?: string | null;
}

/** Among the layers, as only what is made there has the inode numbers of layers. Names with a dot are no layers. */
const BUILDS = '.builds';

/** Fast enough for a progress bar, slow enough for a log. */
const PROGRESS_MS = 200;

/** A mirror that cannot be reached is tried again, twice as long later each time. */
const RETRY_MS = { first: 30_000, longest: 600_000 } as const;

/** The images of one runner. Their layers are shared by all sandboxes and never change. */
export class Images {
  readonly #input: ImagesInput;
  readonly #recordsDir: string;
  readonly #buildsDir: string;
  readonly #ready = new Map<string, Image>();
  readonly #unready = new Map<string, RunnerImage>();
  readonly #building = new Map<string, Promise<Image>>();
  readonly #retries = new Set<NodeJS.Timeout>();
  readonly #retryDelays = new Map<string, number>();
  readonly #stop = new AbortController();

  constructor(input: ImagesInput) {
    this.#input = input;
    this.#recordsDir = join(input.disks.poolDir, 'images');
    this.#buildsDir = join(input.disks.layersDir, BUILDS);
  }

  /** Loads the records and removes what builds that did not finish have left. */
  async open(): Promise<void> {
    mkdirSync(this.#recordsDir, { recursive: true, mode: 0o700 });
    mkdirSync(this.#buildsDir, { recursive: true, mode: 0o700 });
    for (const build of readdirSync(this.#buildsDir)) await this.#discard(build);
    const used = new Set<string>();
    let unreadable = 0;
    for (const file of readdirSync(this.#recordsDir).filter((name) => name.endsWith('.json'))) {
      try {
        const record = JSON.parse(readFileSync(join(this.#recordsDir, file), 'utf8')) as ImageRecord;
        record.layers.forEach((layer) => used.add(layer));
        this.#ready.set(record.name, this.#load(record));
      } catch (error) {
        unreadable += 1;
        this.#input.log.warn({ file, err: error }, 'an image record is not usable; the image will be made again');
      }
    }
    // A record that cannot be read may name any layer.
    if (unreadable > 0) return;
    for (const layer of readdirSync(this.#input.disks.layersDir)) {
      if (!layer.startsWith('.') && !used.has(layer)) await rm(join(this.#input.disks.layersDir, layer), { recursive: true, force: true });
    }
  }

  get(name: string): Image | null {
    return this.#ready.get(name) ?? null;
  }

  list(): RunnerImage[] {
    const ready = [...this.#ready.values()].map((image): RunnerImage => ({ name: image.name, state: 'ready', sizeBytes: image.sizeBytes }));
    return [...ready, ...this.#unready.values()];
  }

  /**
   * The image, made from its recipe when it is not there. Callers at the same time share one build. A failed build is
   * tried again later by itself, so the rejection is for whoever waits now.
   */
  ensure(name: string): Promise<Image> {
    const ready = this.#ready.get(name);
    if (ready !== undefined) return Promise.resolve(ready);
    const running = this.#building.get(name);
    if (running !== undefined) return running;
    const recipe = loadRecipe(name);
    if (recipe === null) return Promise.reject(new RunnerError('IMAGE_NOT_FOUND', `There is no image ${name}.`));
    const build = this.#make(name, recipe).finally(() => this.#building.delete(name));
    this.#building.set(name, build);
    return build;
  }

  /** Ends builds in progress; the next runner begins them anew. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#retries.forEach(clearTimeout);
    await Promise.allSettled(this.#building.values());
  }

  async #make(name: string, recipe: Recipe): Promise<Image> {
    const since = performance.now();
    const report = this.#reporter(name);
    report({ fraction: 0, text: 'Starting' });
    const dir = join(this.#buildsDir, name);
    const root = join(dir, 'root');
    try {
      await this.#discard(name);
      mkdirSync(dir, { mode: 0o700 });
      mkdirSync(root, { mode: 0o755 });
      const cached = await this.#fill(root, recipe, report);
      report({ fraction: 0.99, text: 'Storing the image' });
      const image = await this.#store(name, root, recipe);
      this.#retryDelays.delete(name);
      this.#input.log.info({ image: name, cached, sizeBytes: image.sizeBytes, ms: Math.round(performance.now() - since) }, 'image made');
      return image;
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#failed(name, error as Error);
      throw error;
    } finally {
      await this.#discard(name);
    }
  }

  /** @returns whether the content came from the cache */
  async #fill(root: string, recipe: Recipe, onProgress: (progress: Progress) => void): Promise<boolean> {
    const { suite, mirror } = this.#input.config;
    const cache = this.#input.cacheDir ? new LayerCache(this.#input.cacheDir) : null;
    const key = `${suite}-${recipe.digest}`;
    if (cache?.has(key)) {
      onProgress({ fraction: 0.5, text: 'Unpacking the cached image' });
      await cache.unpack(key, root);
      return true;
    }
    await bootstrap({ recipe, suite, mirror, root, scratch: join(root, '../scratch'), onProgress, signal: this.#stop.signal });
    await cache?.store(key, root);
    return false;
  }

  /** The layer is on disk before the record says so: the pool is flushed, then the record written in one step. */
  async #store(name: string, root: string, recipe: Recipe): Promise<Image> {
    const { suite } = this.#input.config;
    const layer = await layerDigest(recipe, suite, root);
    const size = await runTool('du', ['--summarize', '--one-file-system', '--block-size=1', root]);
    await runTool('sync', ['--file-system', root]);
    const target = join(this.#input.disks.layersDir, layer);
    await rm(target, { recursive: true, force: true });
    await rename(root, target);
    const record: ImageRecord = {
      name, layers: [layer], sizeBytes: Number.parseInt(size, 10), config: recipe.config, origin: { recipe: recipe.digest, suite },
    };
    await this.#write(record);
    const image = this.#load(record);
    this.#ready.set(name, image);
    this.#unready.delete(name);
    this.#input.onChange({ name, state: 'ready', sizeBytes: image.sizeBytes });
    return image;
  }

  async #write(record: ImageRecord): Promise<void> {
    const path = join(this.#recordsDir, `${record.name}.json`);
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(record, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    const dir = await open(this.#recordsDir, 'r');
    try {
      await dir.sync();
    } finally {
      await dir.close();
    }
  }

  #load(record: ImageRecord): Image {
    const layers = record.layers.map((layer) => join(this.#input.disks.layersDir, layer));
    return { name: record.name, layers, sizeBytes: record.sizeBytes, config: { ...record.config, users: readUsers(layers) } };
  }

  #reporter(name: string): (progress: Progress) => void {
    let reportedAt = -Infinity;
    return (progress) => {
      const image: RunnerImage = { name, state: 'preparing', sizeBytes: null, progress };
      this.#unready.set(name, image);
      const now = performance.now();
      if (now - reportedAt < PROGRESS_MS) return;
      reportedAt = now;
      this.#input.onChange(image);
    };
  }

  #failed(name: string, error: Error): void {
    const image: RunnerImage = { name, state: 'failed', sizeBytes: null, reason: error.message };
    this.#unready.set(name, image);
    this.#input.onChange(image);
    const delayMs = Math.min(RETRY_MS.longest, (this.#retryDelays.get(name) ?? RETRY_MS.first / 2) * 2);
    this.#retryDelays.set(name, delayMs);
    this.#input.log.warn({ image: name, reason: error.message, retryMs: delayMs }, 'image could not be made');
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      this.ensure(name).catch(() => undefined); // this method has told of the failure
    }, delayMs).unref();
    this.#retries.add(timer);
  }

  /** Removes a build's directory, also one that an earlier runner of this mount namespace left mounted. */
  async #discard(build: string): Promise<void> {
    const dir = join(this.#buildsDir, build);
    unmountAll(join(dir, 'root'));
    await rm(dir, { recursive: true, force: true });
  }
}

/** Names a layer by what went in: recipe, suite and the version of every package. 64 hex digits. */
async function layerDigest(recipe: Recipe, suite: string, root: string): Promise<string> {
  const status = await readFile(join(root, 'var/lib/dpkg/status'), 'utf8');
  const packages = status.match(/^(?:Package|Version|Architecture): .*$/gm);
  return createHash('sha256').update(JSON.stringify({ recipe: recipe.digest, suite, packages })).digest('hex');
}
