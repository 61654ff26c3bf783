/**
 * Some tools write layers without entries for the directories that files are in. Owner and mode of such a directory are those of
 * the layers below; but in an overlay the topmost part of a directory decides, and that one has no say. One more layer on
 * top, with nothing but these directories as they should be, sets it right.
 */
import { createHash } from 'node:crypto';
import { chmodSync, lchownSync, lstatSync, lutimesSync, mkdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import type { LayerInfo } from './layers.ts';
import type { LayerAccess } from './maker.ts';
import { MergedTree } from './merged-tree.ts';

interface Shape {
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly mtime: number;
}

/** @param names obtained layers, topmost first @returns name of a layer to put on top; null: none is needed */
export async function repairImplied(names: readonly string[], infos: ReadonlyMap<string, LayerInfo>, layers: LayerAccess): Promise<string | null> {
  const shapes = wantedShapes(names.map((name) => ({ dir: layers.path(name), implied: new Set(infos.get(name)?.implied) })));
  if (shapes.length === 0) return null;
  const name = `implied-${createHash('sha256').update(JSON.stringify(shapes)).digest('hex')}`;
  await layers.obtain(name, async (dir) => {
    for (const { path } of shapes) mkdirSync(join(dir, path));
    for (const { path, uid, gid, mode, mtime } of shapes.toReversed()) {
      lchownSync(join(dir, path), uid, gid);
      chmodSync(join(dir, path), mode);
      lutimesSync(join(dir, path), mtime, mtime);
    }
    return { sizeBytes: 0 };
  });
  return name;
}

/** Directories whose topmost part is implied, and those above them, parents first. */
function wantedShapes(layers: ReadonlyArray<{ readonly dir: string; readonly implied: ReadonlySet<string> }>): readonly Shape[] {
  const tree = new MergedTree(layers.map(({ dir }) => dir));
  const shapes = new Map<string, Shape>();
  const shapeOf = (path: string): { readonly stat: Stats; readonly top: boolean } | null => {
    const parts = tree.parts(path);
    if (parts === null) return null;
    const explicit = parts.findIndex((part) => !layers.some(({ dir, implied }) => part === join(dir, path) && implied.has(path)));
    return { stat: lstatSync(parts[Math.max(explicit, 0)]!), top: explicit <= 0 };
  };
  const add = (path: string, stat: Stats): void => {
    shapes.set(path, { path, uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777, mtime: Math.floor(stat.mtimeMs / 1_000) });
  };
  // Names that are no plain text are left as they are.
  for (const path of new Set(layers.flatMap(({ implied }) => [...implied].filter((name) => /^[\x20-\x7e]+$/.test(name))))) {
    const own = shapeOf(path);
    if (own === null || own.top) continue;
    const names = path.split('/');
    for (let depth = 1; depth < names.length; depth += 1) {
      const above = names.slice(0, depth).join('/');
      const found = shapes.has(above) ? null : shapeOf(above);
      if (found !== null) add(above, found.stat);
    }
    add(path, own.stat);
  }
  return [...shapes.values()].sort((one, other) => (one.path < other.path ? -1 : 1));
}
