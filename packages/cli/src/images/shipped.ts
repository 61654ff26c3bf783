/** Images that Paddock ships: folders of `images/` with a Dockerfile, or with a recipe that the runner knows. */
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

/** @returns null when there is none of that name */
export function sourceOf(name: string): ImageSource | null {
  if (!/^[a-z0-9-]+$/.test(name)) return null;
  const dir = join(imagesDir(), name);
  if (existsSync(join(dir, 'recipe.json'))) return { kind: 'recipe' };
  const dockerfile = join(dir, 'Dockerfile');
  if (!existsSync(dockerfile)) return null;
  return { kind: 'build', organizationId: OPERATOR, dockerfile: readFileSync(dockerfile, 'utf8'), contexts: [], auths: [] };
}

/** Seen from the bundle dist/paddock.mjs and from this source file. */
function imagesDir(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return [join(here, '../images'), join(here, '../../../../images')].find((dir) => existsSync(join(dir, 'slim/recipe.json')))!;
}
