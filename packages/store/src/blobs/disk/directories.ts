import { readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { sortKey } from './names.ts';

/** Names of one directory, in the order of their keys. */
export type SortedNames = readonly string[];

/** Small directories are as quickly read again. */
const WORTH_KEEPING = 256;
/** About 20 MB of names. A directory beyond it is read for every page of its listing. */
const MAX_KEPT = 200_000;
const KEPT_MS = 10_000;

/**
 * Sorted contents of directories. Those of a long listing are kept from page to page, so that its pages together cost one reading and
 * sorting; what this process adds and removes meanwhile is entered. Nobody else may write to the store.
 */
export class Directories {
  readonly #kept = new Map<string, { names: string[]; timer: NodeJS.Timeout }>();
  #count = 0;
  /** Being read; true: something changed meanwhile. */
  readonly #reading = new Map<string, { changed: boolean }>();

  async read(directory: string): Promise<SortedNames> {
    const kept = this.#kept.get(directory);
    if (kept) {
      kept.timer.refresh();
      return kept.names;
    }
    const reading = this.#reading.get(directory) ?? { changed: false };
    this.#reading.set(directory, reading);
    try {
      const names = sorted(await readdir(directory));
      if (!reading.changed && names.length >= WORTH_KEEPING) this.#keep(directory, names);
      return names;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    } finally {
      if (this.#reading.get(directory) === reading) this.#reading.delete(directory);
    }
  }

  /** The file or directory is there. */
  added(path: string): void {
    const [directory, name] = [dirname(path), basename(path)];
    this.#markChanged(directory);
    const kept = this.#kept.get(directory);
    if (!kept) return;
    const index = lowerBound(kept.names, sortKey(name));
    if (kept.names[index] === name) return;
    // A listing may be walking over the old array.
    kept.names = [...kept.names.slice(0, index), name, ...kept.names.slice(index)];
    this.#count += 1;
  }

  /** The file or directory is gone. */
  removed(path: string): void {
    const [directory, name] = [dirname(path), basename(path)];
    this.#markChanged(directory);
    this.#drop(path);
    const kept = this.#kept.get(directory);
    if (!kept) return;
    const index = lowerBound(kept.names, sortKey(name));
    if (kept.names[index] !== name) return;
    kept.names = [...kept.names.slice(0, index), ...kept.names.slice(index + 1)];
    this.#count -= 1;
  }

  close(): void {
    for (const directory of [...this.#kept.keys()]) this.#drop(directory);
  }

  #markChanged(directory: string): void {
    const reading = this.#reading.get(directory);
    if (!reading) return;
    reading.changed = true;
    this.#reading.delete(directory);
  }

  #keep(directory: string, names: string[]): void {
    this.#drop(directory);
    if (names.length > MAX_KEPT) return;
    for (const oldest of this.#kept.keys()) {
      if (this.#count + names.length <= MAX_KEPT) break;
      this.#drop(oldest);
    }
    const timer = setTimeout(() => this.#drop(directory), KEPT_MS);
    timer.unref();
    this.#kept.set(directory, { names, timer });
    this.#count += names.length;
  }

  #drop(directory: string): void {
    const kept = this.#kept.get(directory);
    if (!kept) return;
    clearTimeout(kept.timer);
    this.#count -= kept.names.length;
    this.#kept.delete(directory);
  }
}

/** @returns index of the first name whose sort key is not below */
export function lowerBound(names: SortedNames, key: string): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sortKey(names[middle]!) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sorted(names: string[]): string[] {
  const keyed = names.map((name) => ({ name, key: sortKey(name) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return keyed.map(({ name }) => name);
}
