/**
 * Looks up paths in a stack of layers as the overlay will show them, without mounting it. Layers never change and only
 * root enters them, so what one look found is still so at the next.
 */
import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { getXattr } from '../sys/index.ts';

/** As in the kernel. */
const MAX_LINKS = 40;

/** Overlay's mark of a directory that hides those below it. */
export const OPAQUE = 'trusted.overlay.opaque';

export class MergedTree {
  readonly #layers: readonly string[];

  /** @param layers absolute directories, topmost first */
  constructor(layers: readonly string[]) {
    this.#layers = layers;
  }

  /** The parts that layers have of a directory, topmost first, as paths on the host. No links are followed; null: it is no directory. */
  parts(path: string): readonly string[] | null {
    let here: Directory = { names: [], layers: this.#layers };
    for (const name of path.split('/')) {
      const found = lookUp(here, name);
      if (found === null || !found.stat.isDirectory()) return null;
      here = { names: [...here.names, name], layers: found.layers };
    }
    return here.layers.map((layer) => join(layer, path));
  }

  /**
   * @param path relative to the root; `..` and links, absolute ones too, stay inside
   * @returns path on the host of the regular file that it names; null: there is none
   */
  find(path: string): string | null {
    const waiting = path.split('/').filter(Boolean).reverse();
    let here: Directory = { names: [], layers: this.#layers };
    const above: Directory[] = [];
    for (let links = 0; ;) {
      const name = waiting.pop();
      if (name === undefined || name === '.') {
        if (name === undefined) return null; // a directory
        continue;
      }
      if (name === '..') {
        here = above.pop() ?? here;
        continue;
      }
      const found = lookUp(here, name);
      if (found === null) return null;
      if (found.stat.isDirectory()) {
        above.push(here);
        here = { names: [...here.names, name], layers: found.layers };
      } else if (found.stat.isSymbolicLink()) {
        links += 1;
        if (links > MAX_LINKS) return null;
        const target = readlinkSync(found.path);
        if (target.startsWith('/')) {
          here = { names: [], layers: this.#layers };
          above.length = 0;
        }
        waiting.push(...target.split('/').filter(Boolean).reverse());
      } else {
        return found.stat.isFile() && waiting.length === 0 ? found.path : null;
      }
    }
  }
}

/** A directory of the merged tree: its path without links, and the layers that have a part of it. */
interface Directory {
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

interface Found {
  readonly stat: Stats;
  readonly path: string;
  readonly layers: readonly string[];
}

function lookUp({ names, layers }: Directory, name: string): Found | null {
  let first: Found | null = null;
  const parts: string[] = [];
  for (const layer of layers) {
    const path = join(layer, ...names, name);
    const stat = statOf(path);
    if (stat === null) continue;
    if (!stat.isDirectory()) {
      if (first !== null || isWhiteout(stat)) break;
      return { stat, path, layers: [] };
    }
    first ??= { stat, path, layers: parts };
    parts.push(layer);
    if (getXattr(path, OPAQUE)?.toString() === 'y') break;
  }
  return first;
}

function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0;
}

function statOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}
