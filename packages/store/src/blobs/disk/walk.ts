import { join } from 'node:path';
import { type Directories, lowerBound, type SortedNames } from './directories.ts';
import { type ByteText, directoryOfPrefix, sortKey } from './names.ts';

export interface Found {
  readonly key: ByteText;
  readonly path: string;
}

/** Where a walk stands; the caller may move `fold` on to leave out a whole range of keys. */
export interface WalkBounds {
  readonly prefix: ByteText;
  /** Only keys beyond. */
  readonly after: ByteText;
  /** Keys that begin with it are left out. */
  fold: ByteText | null;
}

/** Blobs below `tree` in the order of their keys. */
export async function* walk(directories: Directories, tree: string, bounds: WalkBounds): AsyncGenerator<Found> {
  const { path, base } = directoryOfPrefix(tree, bounds.prefix);
  yield* walkDirectory(directories, path, base, bounds);
}

async function* walkDirectory(directories: Directories, path: string, base: ByteText, bounds: WalkBounds): AsyncGenerator<Found> {
  const names = await directories.read(path);
  const { prefix, after } = bounds;
  for (let i = firstOf(names, base, bounds); i < names.length; i++) {
    const name = names[i]!;
    const key = base + sortKey(name);
    if (bounds.fold !== null && base.startsWith(bounds.fold)) return;
    if (bounds.fold !== null && key.startsWith(bounds.fold)) continue;
    if (name.startsWith('f')) {
      if (key > after && key.startsWith(prefix)) yield { key, path: join(path, name) };
    } else if ((key.startsWith(prefix) || prefix.startsWith(key)) && (key > after || after.startsWith(key))) {
      yield* walkDirectory(directories, join(path, name), key, bounds);
    }
    if (key > prefix && !key.startsWith(prefix)) return;
  }
}

/** Index of the first name that can lead to a key within the bounds: the directory that holds a bound itself sorts right before it. */
function firstOf(names: SortedNames, base: ByteText, { prefix, after }: WalkBounds): number {
  const before = (bound: ByteText) => (bound.startsWith(base) ? lowerBound(names, bound.slice(base.length)) - 1 : 0);
  return Math.max(before(prefix), before(after), 0);
}
