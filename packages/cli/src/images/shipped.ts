/** Images that Paddock ships: folders of `images/` with a Dockerfile, a recipe that the runner knows, or both. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImageSource } from '@paddock/contract';

/** Whose layer cache the server's own builds use. */
const OPERATOR = '00000000-0000-0000-0000-000000000000';

export function shippedNames(): string[] {
  const dir = imagesDir();
  return readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory() && sourceOf(entry.name) !== null).map(({ name }) => name);
}

/**
 * @param as name of the result: a recipe's image has the recipe's, any other is built from the Dockerfile of the same content
 * @returns null when there is none of that name
 */
export function sourceOf(name: string, as = name): ImageSource | null {
  if (!/^[a-z0-9-]+$/.test(name)) return null;
  const dir = join(imagesDir(), name);
  const isRecipe = existsSync(join(dir, 'recipe.json'));
  const dockerfile = join(dir, 'Dockerfile');
  if (existsSync(dockerfile) && !(isRecipe && as === name)) {
    return { kind: 'build', organizationId: OPERATOR, dockerfile: readFileSync(dockerfile, 'utf8'), contexts: [], auths: [] };
  }
  return isRecipe ? { kind: 'recipe' } : null;
}

/** Seen from the bundle dist/paddock.mjs and from this source file. */
function imagesDir(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return [join(here, '../images'), join(here, '../../../../images')].find((dir) => existsSync(join(dir, 'slim/recipe.json')))!;
}
