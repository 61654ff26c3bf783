/** Recipes of the images the runner makes itself: folders of `images/` in the repository. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImageConfig } from '../types.ts';

export interface Recipe {
  readonly packages: readonly string[];
  /** Lines of dpkg.cfg; in effect inside, too. */
  readonly dpkgOptions: readonly string[];
  /** Lines of apt.conf without the final semicolon; in effect inside, too. */
  readonly aptOptions: readonly string[];
  readonly config: Pick<ImageConfig, 'env' | 'workDir' | 'entrypoint'>;
  /** Script for the host's shell that finishes the root directory given as $1. */
  readonly setupFile: string;
  /** Hash over recipe and script. */
  readonly digest: string;
}

/** @returns null when there is no recipe of that name */
export function loadRecipe(name: string): Recipe | null {
  if (!/^[a-z0-9-]+$/.test(name)) return null;
  const dir = recipeDirs().find((candidate) => existsSync(join(candidate, name, 'recipe.json')));
  if (dir === undefined) return null;
  const text = readFileSync(join(dir, name, 'recipe.json'));
  const setupFile = join(dir, name, 'setup.sh');
  const digest = createHash('sha256').update(text).update('\0').update(readFileSync(setupFile)).digest('hex');
  return { ...(JSON.parse(text.toString()) as Omit<Recipe, 'setupFile' | 'digest'>), setupFile, digest };
}

/** `images/` seen from the bundle dist/runner.mjs and from this source file. */
function recipeDirs(): string[] {
  const here = dirname(fileURLToPath(import.meta.url));
  return [join(here, '../images'), join(here, '../../../../images')];
}
