/** The runner's images: unpacked layers by digest, one record an image, made once and kept. */
import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PaddockConfig, RunnerImage } from '@paddock/contract';
import type { PooledDisks, StorageLog } from '../storage/index.ts';
import { unmountAll } from '../sys/index.ts';
import type { Image, ImageConfig } from '../types.ts';
import { bootstrap, type Progress } from './bootstrap.ts';
import { recipeDigest, slim, type Recipe } from './slim.ts';
import { readUsers } from './users.ts';

export interface ImagesInput {
  readonly disks: PooledDisks;
  readonly config: PaddockConfig['image'];
  readonly log: StorageLog;
  readonly onChange: (image: RunnerImage) => void;
  /** Directory with tars of finished layers, read and filled; for machines that set up many instances, such as CI. */
  readonly cacheDir?: string | null;
}

/** `<pool>/images/<name>.json` */
interface ImageRecord {
  readonly version: 1;
  readonly name: string;
  /** Digest of what it was made from: another recipe makes a new layer at the next start. */
  readonly recipe: string;
  /** Names in the layers directory, topmost first. */
  readonly layers: readonly string[];
  readonly sizeBytes: number;
  readonly config: Omit<ImageConfig, 'users'>;
}

export class Images {
  readonly #input: ImagesInput;
  readonly #recordsDir: string;
  readonly #buildDir: string;
  readonly #ready = new Map<string, Image>();
  readonly #recipes = new Map<string, string>();
  readonly #shown = new Map<string, RunnerImage>();
  readonly #making = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(input: ImagesInput) {
    this.#input = input;
    this.#recordsDir = join(input.disks.poolDir, 'images');
    this.#buildDir = join(input.disks.poolDir, 'building');
  }

  /** Reads the records and removes what an interrupted build left. */
  async open(): Promise<void> {
    await this.#discardBuilds();
    await mkdir(this.#recordsDir, { recursive: true, mode: 0o700 });
    await mkdir(this.#buildDir, { recursive: true, mode: 0o700 });
    for (const file of await readdir(this.#recordsDir)) {
      if (!file.endsWith('.json')) continue;
      try {
        await this.#adopt(JSON.parse(await readFile(join(this.#recordsDir, file), 'utf8')) as ImageRecord);
      } catch (error) {
        this.#input.log.warn({ file, err: error }, 'an image record is not usable, the image will be made again');
      }
    }
  }

  get(name: string): Image | null {
    return this.#ready.get(name) ?? null;
  }

  list(): RunnerImage[] {
    return [...this.#shown.values()];
  }

  /** Makes the image unless it is there; one build at a time for each. A failure is shown in `list` and thrown. */
  ensure(name: string): Promise<void> {
    const recipe = this.#recipe(name);
    if (this.#ready.has(name) && this.#recipes.get(name) === recipeDigest(recipe)) return Promise.resolve();
    const running = this.#making.get(name);
    if (running !== undefined) return running;
    const making = this.#make(recipe)
      .catch((error: unknown) => {
        // An older image of that name goes on being used.
        if (!this.#ready.has(name)) this.#show({ name, state: 'failed', sizeBytes: null, reason: (error as Error).message });
        throw error;
      })
      .finally(() => this.#making.delete(name));
    this.#making.set(name, making);
    return making;
  }

  /** Ends builds; the next `open` cleans up after them. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the runner stops'));
    await Promise.allSettled(this.#making.values());
  }

  #recipe(name: string): Recipe {
    if (name !== 'slim') throw new Error(`There is no recipe for an image "${name}"`);
    return slim(this.#input.config.suite);
  }

  async #make(recipe: Recipe): Promise<void> {
    const { name } = recipe;
    const digest = recipeDigest(recipe);
    const since = performance.now();
    const onProgress = (progress: Progress): void => {
      if (!this.#ready.has(name)) this.#show({ name, state: 'preparing', sizeBytes: null, progress });
    };
    onProgress({ fraction: 0, text: 'preparing the default image' });
    const target = join(this.#buildDir, digest.slice(0, 16));
    await rm(target, { recursive: true, force: true });
    await mkdir(target, { mode: 0o755 });
    try {
      const cached = await this.#fromCache(digest, target, onProgress);
      if (!cached) {
        await bootstrap({ recipe, target, mirror: this.#input.config.mirror, signal: this.#closing.signal, onProgress });
        await this.#toCache(digest, target);
      }
      const layer = await layerDigest(digest, target);
      const final = join(this.#input.disks.layersDir, layer);
      if (await exists(final)) await rm(target, { recursive: true, force: true });
      else await rename(target, final);
      const record: ImageRecord = {
        version: 1, name, recipe: digest, layers: [layer], sizeBytes: await sizeOf(final),
        config: { env: recipe.env, workDir: recipe.workDir, entrypoint: null },
      };
      await writeAtomically(join(this.#recordsDir, `${name}.json`), JSON.stringify(record));
      await this.#adopt(record);
      this.#input.log.info({ op: 'image', image: name, cached, sizeBytes: record.sizeBytes, ms: Math.round(performance.now() - since) }, 'image is ready');
    } finally {
      await rm(target, { recursive: true, force: true });
    }
  }

  async #adopt(record: ImageRecord): Promise<void> {
    const layers = record.layers.map((layer) => join(this.#input.disks.layersDir, layer));
    await Promise.all(layers.map((layer) => access(layer)));
    this.#ready.set(record.name, { name: record.name, layers, sizeBytes: record.sizeBytes, config: { ...record.config, users: readUsers(layers) } });
    this.#recipes.set(record.name, record.recipe);
    this.#show({ name: record.name, state: 'ready', sizeBytes: record.sizeBytes });
  }

  #show(image: RunnerImage): void {
    this.#shown.set(image.name, image);
    this.#input.onChange(image);
  }

  async #fromCache(digest: string, target: string, onProgress: (progress: Progress) => void): Promise<boolean> {
    const { cacheDir } = this.#input;
    if (!cacheDir || !(await exists(cacheFile(cacheDir, digest)))) return false;
    onProgress({ fraction: 0.5, text: 'unpacking the cached image' });
    await run('tar', ['--extract', '--numeric-owner', '--preserve-permissions', '--xattrs', '--xattrs-include=*', '--file', cacheFile(cacheDir, digest), '--directory', target]);
    return true;
  }

  async #toCache(digest: string, target: string): Promise<void> {
    const { cacheDir } = this.#input;
    if (!cacheDir) return;
    await mkdir(cacheDir, { recursive: true, mode: 0o700 });
    const unfinished = `${cacheFile(cacheDir, digest)}.${process.pid}`;
    await run('tar', ['--create', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--file', unfinished, '--directory', target, '.']);
    await rename(unfinished, cacheFile(cacheDir, digest));
  }

  async #discardBuilds(): Promise<void> {
    for (const name of await readdir(this.#buildDir).catch(() => [])) {
      const dir = join(this.#buildDir, name);
      for (const inner of ['proc', 'sys', 'dev/pts', 'dev/shm', 'dev']) unmountAll(join(dir, inner));
      unmountAll(dir);
      await rm(dir, { recursive: true, force: true });
    }
  }
}

/** Of the recipe and of every package's version in the result: two builds with the same content share a layer. */
async function layerDigest(recipe: string, root: string): Promise<string> {
  const status = await readFile(join(root, 'var/lib/dpkg/status'), 'utf8');
  const packages = [...status.matchAll(/^(?:Package|Version): .*$/gm)].map(([line]) => line);
  return createHash('sha256').update([recipe, ...packages].join('\n')).digest('hex');
}

function cacheFile(dir: string, digest: string): string {
  return join(dir, `slim-${digest.slice(0, 16)}.tar`);
}

async function sizeOf(dir: string): Promise<number> {
  return Number((await run('du', ['--summarize', '--bytes', dir])).split('\t')[0]);
}

async function writeAtomically(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.new`, text, { flush: true });
  await rename(`${file}.new`, file);
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err = (err + chunk.toString()).slice(-2_000)));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`${command} failed (${code}): ${err.trim()}`))));
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
