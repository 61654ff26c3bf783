import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface Entry {
  /** Path below the root of the walk. */
  readonly relative: string;
  readonly entry: Dirent;
}

/** File systems without files of the user's, some of which block or never end when read. Not entered from above. */
const PSEUDO: ReadonlySet<string> = new Set(['/proc', '/sys', '/dev']);

/**
 * Everything below a directory, each directory before its contents, names in order. Links are not followed, so the walk
 * ends whatever they point at; directories that may not be read are passed over.
 */
export async function* walk(root: string, below = ''): AsyncGenerator<Entry> {
  const dir = join(root, below);
  let entries: Dirent[];
  try {
    entries = await readdir(dir, { withFileTypes: true });
  } catch {
    return;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const relative = below === '' ? entry.name : `${below}/${entry.name}`;
    yield { relative, entry };
    if (entry.isDirectory() && !PSEUDO.has(join(root, relative))) yield* walk(root, relative);
  }
}
