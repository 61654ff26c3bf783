/**
 * The files of a layer as an OCI layer: a tar with whiteouts by name, the same bytes for the same tree. Works below `/` of its thread,
 * which is the layer's directory (see Confinement), and follows no link: what is in the tree leads nowhere else.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, opendirSync, readSync, readlinkSync, type BigIntStats } from 'node:fs';
import { nextData, nextHole, readXattrs } from '../../sys/index.ts';
import { OPAQUE } from '../merged-tree.ts';
import { MAX_DEPTH, MAX_NAME, MAX_PATH, MAX_XATTR, MAX_XATTRS, OPAQUE_WHITEOUT, WHITEOUT } from '../unpack/layer-writer.ts';
import { shown, type Segment } from '../unpack/tar-entry.ts';
import { MAX_FILE } from '../unpack/tar-reader.ts';
import { dataBytes, entryBlocks, padding, type WrittenEntry } from './tar-header.ts';

/** Why a tree cannot be an image, as the end of a sentence. */
export class Unpublishable extends Error {}

export interface TreeLimits {
  /** Of the tree; an image with more could not be pulled. */
  readonly entries: number;
}

/** Below this a hole saves less than the map costs. */
const SPARSE_BYTES = 64 * 1024;
const MAX_SEGMENTS = 10_000;
/** What a file may be longer in the tar than on disk because it has more holes than that. */
const HOLES_BYTES = 64 * 1024 ** 2;

/** Paths of files whose other links were not seen yet are kept; a sandbox could make a million of the longest names. */
const MAX_LINK_BYTES = 64 * 1024 ** 2;

const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NOCTTY | constants.O_NONBLOCK;
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();
const WHITEOUT_ENTRY = { type: 'file', mode: 0, uid: 0, gid: 0, mtime: 0n, size: 0, segments: null, xattrs: NO_XATTRS } as const;
/** Two blocks of zeros are a tar's end. */
const END = Buffer.alloc(1024);

/** Fills the buffer again and again. @returns with every value how much of it was filled; it is to be used before the next is asked for */
export function* treeTar(buffer: Buffer, limits: TreeLimits): Generator<number> {
  let filled = 0;
  let entries = 0;
  let linkBytes = 0;
  /** Inode → first path, as long as links of it are to come. */
  const links = new Map<bigint, { readonly path: string; left: bigint }>();

  function* put(bytes: Buffer): Generator<number> {
    for (let at = 0; at < bytes.length;) {
      const copied = bytes.copy(buffer, filled, at);
      at += copied;
      filled += copied;
      if (filled === buffer.length) yield* flush();
    }
  }

  function* flush(): Generator<number> {
    if (filled > 0) yield filled;
    filled = 0;
  }

  function* directory(path: string, depth: number): Generator<number> {
    const stat = lstatSync(bytes(`/${path}`), { bigint: true });
    const xattrs = readXattrs(`/${path}`);
    yield* put(entryBlocks({ ...common(path === '' ? './' : `${path}/`, stat), type: 'directory', size: 0, segments: null, xattrs: carried(path, xattrs) }));
    if (xattrs.get(OPAQUE)?.toString() === 'y') yield* put(entryBlocks({ ...WHITEOUT_ENTRY, name: joined(path, OPAQUE_WHITEOUT) }));
    for (const name of names(path)) {
      const at = joined(path, name);
      if (name.startsWith(WHITEOUT)) throw new Unpublishable(`${shown(at)} has a name that means the removal of a file in images`);
      if (at.length > MAX_PATH || name.length > MAX_NAME || depth >= MAX_DEPTH) throw new Unpublishable(`${shown(at)} lies too deep or has too long a name`);
      const found = lstatSync(bytes(`/${at}`), { bigint: true });
      if (found.isDirectory()) yield* directory(at, depth + 1);
      else yield* other(path, name, at, found);
    }
  }

  function* other(parent: string, name: string, path: string, stat: BigIntStats): Generator<number> {
    // Sockets mean nothing without who listens, and a sandbox has devices of its own.
    if (stat.isSocket() || stat.isBlockDevice()) return;
    if (stat.isCharacterDevice()) {
      if (stat.rdev === 0n) yield* put(entryBlocks({ ...WHITEOUT_ENTRY, name: joined(parent, `${WHITEOUT}${name}`) }));
      return;
    }
    const first = linkOf(path, stat);
    const plain = { ...common(path, stat), size: 0, segments: null, xattrs: NO_XATTRS };
    if (first !== null) yield* put(entryBlocks({ ...plain, type: 'hardlink', linkName: first }));
    else if (stat.isSymbolicLink()) yield* put(entryBlocks({ ...plain, type: 'symlink', linkName: readlinkSync(bytes(`/${path}`), { encoding: 'latin1' }) }));
    else if (stat.isFIFO()) yield* put(entryBlocks({ ...plain, type: 'fifo' }));
    else if (stat.isFile()) yield* file(path, stat);
  }

  function* file(path: string, stat: BigIntStats): Generator<number> {
    const fd = openSync(bytes(`/${path}`), READ);
    try {
      if (fstatSync(fd, { bigint: true }).ino !== stat.ino) throw new Error(`${shown(path)} changed while it was read`);
      const size = Number(stat.size);
      if (size > MAX_FILE) throw new Unpublishable(`${shown(path)} is larger than a file of an image can be`);
      const entry: WrittenEntry = { ...common(path, stat), type: 'file', size, segments: segmentsOf(fd, path, stat), xattrs: carried(path, readXattrs(`/${path}`)) };
      yield* put(entryBlocks(entry));
      for (const { offset, length } of entry.segments ?? [{ offset: 0, length: size }]) {
        for (let at = offset; at < offset + length;) {
          const read = readSync(fd, buffer, filled, Math.min(buffer.length - filled, offset + length - at), at);
          if (read === 0) throw new Error(`${shown(path)} became shorter while it was read`);
          at += read;
          filled += read;
          if (filled === buffer.length) yield* flush();
        }
      }
      yield* put(padding(dataBytes(entry)));
    } finally {
      closeSync(fd);
    }
  }

  /** In the order of their bytes, all counted before one is looked at. */
  function names(path: string): string[] {
    const found: string[] = [];
    const dir = opendirSync(bytes(`/${path}`) as unknown as string, { encoding: 'latin1' as BufferEncoding, bufferSize: 1_024 });
    try {
      for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) {
        entries += 1;
        if (entries > limits.entries) throw new Unpublishable(`it has more than ${limits.entries} files`);
        found.push(entry.name);
      }
    } finally {
      dir.closeSync();
    }
    return found.sort();
  }

  /** @returns the path under which the file is in the tar already */
  function linkOf(path: string, { ino, nlink }: BigIntStats): string | null {
    const known = links.get(ino);
    if (known !== undefined) {
      known.left -= 1n;
      if (known.left === 0n) {
        links.delete(ino);
        linkBytes -= known.path.length;
      }
      return known.path;
    }
    if (nlink <= 1n) return null;
    linkBytes += path.length;
    if (linkBytes > MAX_LINK_BYTES) throw new Unpublishable('it has too many hard links');
    links.set(ino, { path, left: nlink - 1n });
    return null;
  }

  yield* directory('', 0);
  yield* put(END);
  yield* flush();
}

/** null: the whole file is data, or as good as. */
function segmentsOf(fd: number, path: string, { size: whole, blocks }: BigIntStats): Segment[] | null {
  const size = Number(whole);
  const onDisk = Number(blocks) * 512;
  if (size < SPARSE_BYTES || onDisk >= size) return null;
  const segments: Segment[] = [];
  for (let at = nextData(fd, 0); at !== null && at < size;) {
    const end = segments.length === MAX_SEGMENTS - 1 ? size : Math.min(size, nextHole(fd, at));
    segments.push({ offset: at, length: end - at });
    at = end < size ? nextData(fd, end) : null;
  }
  if (segments.reduce((sum, { length }) => sum + length, 0) > onDisk * 2 + HOLES_BYTES) throw new Unpublishable(`${shown(path)} has more holes than an image can carry`);
  return segments.length === 1 && segments[0]!.length === size ? null : segments;
}

/** Of the extended attributes those that mean the same elsewhere. */
function carried(path: string, all: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  const kept = [...all].filter(([key]) => key === 'security.capability' || key.startsWith('user.'));
  const wrong = kept.find(([key, value]) => key.includes('=') || key.length > 240 || value.length > MAX_XATTR);
  if (wrong !== undefined || kept.length > MAX_XATTRS) throw new Unpublishable(`${shown(path)} has extended attributes that are too many, too long or have an equals sign in their name`);
  return new Map(kept);
}

function common(name: string, { mode, uid, gid, mtimeNs }: BigIntStats): Pick<WrittenEntry, 'name' | 'mode' | 'uid' | 'gid' | 'mtime'> {
  return { name, mode: Number(mode) & 0o7777, uid: Number(uid), gid: Number(gid), mtime: mtimeNs };
}

function joined(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
