/** Makes the images that Paddock ships recipes of. */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PaddockConfig } from '@paddock/contract';
import { bootstrap } from './bootstrap.ts';
import { NOTHING } from './image.ts';
import { LayerCache, runTool } from './layer-cache.ts';
import { MakeFailed, type MadeImage, type MakeContext, type Maker } from './maker.ts';
import { loadRecipe, type Recipe } from './recipe.ts';

export interface RecipeSettings {
  readonly config: PaddockConfig['image'];
  /** Directory with tars of finished layers, read and filled; null: none. */
  readonly cacheDir: string | null;
}

export class RecipeMaker implements Maker<'recipe'> {
  readonly #settings: RecipeSettings;

  constructor(settings: RecipeSettings) {
    this.#settings = settings;
  }

  async make(_: unknown, context: MakeContext): Promise<MadeImage> {
    const recipe = loadRecipe(context.name);
    if (recipe === null) throw new MakeFailed(`There is no image ${context.name} yet. Make it: paddock images build ${context.name}`);
    const { suite } = this.#settings.config;
    const root = join(context.workDir, 'root');
    mkdirSync(root, { mode: 0o755 });
    await this.#fill(root, recipe, context);
    const layer = await layerDigest(recipe, suite, root);
    const sizeBytes = Number.parseInt(await runTool('du', ['--summarize', '--one-file-system', '--block-size=1', root]), 10);
    await context.layers.add(layer, root, { sizeBytes });
    return { layers: [layer], disk: null, sizeBytes, config: { ...NOTHING, ...recipe.config }, origin: { recipe: recipe.digest, suite } };
  }

  async #fill(root: string, recipe: Recipe, { workDir, progress, log, signal }: MakeContext): Promise<void> {
    const { suite, mirror } = this.#settings.config;
    const cache = this.#settings.cacheDir === null ? null : new LayerCache(this.#settings.cacheDir);
    const key = `${suite}-${recipe.digest}`;
    if (cache?.has(key)) {
      progress({ fraction: 0.5, text: 'Unpacking the cached image' });
      await cache.unpack(key, root);
      return;
    }
    await bootstrap({ recipe, suite, mirror, root, scratch: join(workDir, 'scratch'), onProgress: progress, onLine: (line) => log(`${line}\n`), signal });
    await cache?.store(key, root);
  }
}

/** Names a layer by what went in: recipe, suite and the version of every package. 64 hex digits. */
async function layerDigest(recipe: Recipe, suite: string, root: string): Promise<string> {
  const status = await readFile(join(root, 'var/lib/dpkg/status'), 'utf8');
  const packages = status.match(/^(?:Package|Version|Architecture): .*$/gm);
  return createHash('sha256').update(JSON.stringify({ recipe: recipe.digest, suite, packages })).digest('hex');
}
