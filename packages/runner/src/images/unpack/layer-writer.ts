/**
 * Writes the entries of a layer's tar as files, with whiteouts in the form that overlayfs knows. Works below `/` of its thread,
 * which is the layer's directory, with a umask of 0 (see Confinement): no name of a tar leads out of it, whatever links it goes through.
 */
import {
  closeSync, constants, fchmodSync, fchownSync, ftruncateSync, futimesSync, lchownSync, linkSync, lstatSync, lutimesSync, mkdirSync, openSync, readlinkSync, rmSync, symlinkSync,
  chmodSync, unlinkSync, writeSync, type Stats,
} from 'node:fs';
import { errorCode, makeNode, setXattrAt } from '../../sys/index.ts';
import { OPAQUE } from '../merged-tree.ts';
import { BadLayer, shown, type TarEntry } from './tar-entry.ts';
import type { TarSink } from './tar-reader.ts';

export interface Budget {
  /** Counts what is written. @throws BadLayer when it is too much */
  spend(bytes: number, entries: number): void;
}

/** OCI image-spec, layers: representing changes. */
export const WHITEOUT = '.wh.';
export const OPAQUE_WHITEOUT = '.wh..wh..opq';
/** Files of aufs itself, which some old images still hold. */
const AUFS = '.wh..wh.';

/** Ids of a sandbox: 16 bits are mapped. */
const MAX_ID = 65_535;

/**
 * Of the 4,095 bytes that a path may have the runner's own directories and overlayfs take some; whole images stay below 1,000.
 * A directory costs a look for each of those above it, so they are few.
 */
export const MAX_PATH = 3_000;
export const MAX_NAME = 255;
export const MAX_DEPTH = 256;
const MAX_TARGET = 4_095;
const MAX_LINKS = 40;

/** set-uid, set-gid, sticky: not for open(2) to give. */
const SPECIAL_BITS = 0o7000;

/** btrfs keeps an attribute within one node. */
export const MAX_XATTR = 8 * 1024;
export const MAX_XATTRS = 64;

/** 2242: what any file system and any program here can show. */
const MAX_TIME = 2 ** 33;

export class LayerWriter implements TarSink {
  readonly #budget: Budget;
  /** Real directories of the layer, by path without links; '' is the root. */
  #directories = new Set(['']);
  readonly #whiteouts = new Set<string>();
  /** Times go on last: each file made in a directory changes its own. */
  readonly #times = new Map<string, number>();
  #file: { readonly fd: number; readonly path: string; readonly entry: TarEntry } | null = null;
  #sizeBytes = 0;
  /** Directories that files are in although no entry made them. */
  readonly implied = new Set<string>();
  skippedDevices = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  entry(entry: TarEntry): void {
    this.#budget.spend(0, 1);
    const names = namesOf(entry.name);
    const base = names.pop();
    if (base === undefined) return this.#root(entry);
    const parent = this.#directory(names, entry.name);
    if (base.startsWith(WHITEOUT)) return this.#whiteout(parent, base);
    const path = parent === '' ? base : `${parent}/${base}`;
    if (path.length > MAX_PATH) throw new BadLayer(`${shown(entry.name)} has too long a name`);
    checkIds(entry);
    switch (entry.type) {
      case 'directory': return this.#makeDirectory(path, entry);
      case 'file': return this.#openFile(path, entry);
      case 'symlink': return this.#symlink(path, entry);
      case 'hardlink': return this.#hardlink(path, entry);
      case 'fifo': return this.#fifo(path, entry);
      default: this.skippedDevices += 1; // a sandbox has a /dev of its own, and the pool shows no devices
    }
  }

  data(piece: Buffer, at: number): void {
    if (this.#file === null) return;
    this.#budget.spend(piece.length, 0);
    this.#sizeBytes += piece.length;
    for (let written = 0; written < piece.length;) written += writeSync(this.#file.fd, piece, written, piece.length - written, at + written);
  }

  done(): void {
    if (this.#file === null) return;
    const { fd, path, entry } = this.#file;
    this.#file = null;
    try {
      if (entry.segments !== null) ftruncateSync(fd, entry.size);
      if (entry.uid !== 0 || entry.gid !== 0) fchownSync(fd, entry.uid, entry.gid);
      if ((entry.mode & SPECIAL_BITS) !== 0) fchmodSync(fd, entry.mode); // after the owner: a new owner takes set-uid away
      if (entry.xattrs.size > 0) setXattrs(path, entry);
      futimesSync(fd, timeOf(entry), timeOf(entry));
    } finally {
      closeSync(fd);
    }
  }

  /** All entries were given. */
  finish(): void {
    for (const [path, time] of [...this.#times].reverse()) {
      try {
        lutimesSync(bytes(`/${path}`), time, time);
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) throw error; // replaced by a later entry
      }
    }
  }

  /** Lets go of a file that is not complete. */
  close(): void {
    if (this.#file !== null) closeSync(this.#file.fd);
    this.#file = null;
  }

  #root(entry: TarEntry): void {
    if (entry.type !== 'directory') throw new BadLayer('its root is no directory');
    checkIds(entry);
    this.#describeDirectory('', entry);
  }

  #makeDirectory(path: string, entry: TarEntry): void {
    if (!this.#directories.has(path)) {
      const there = statOf(path);
      if (there === null || !there.isDirectory()) {
        if (there !== null) this.#remove(path, there);
        mkdirSync(bytes(`/${path}`), 0o755);
        // A whiteout and then a directory of that name: nothing of what lies below may show through.
        if (this.#whiteouts.has(path)) setXattrAt(path, OPAQUE, Buffer.from('y'));
      }
      this.#directories.add(path);
    }
    this.implied.delete(path);
    this.#describeDirectory(path, entry);
  }

  #describeDirectory(path: string, entry: TarEntry): void {
    const at = bytes(`/${path}`);
    lchownSync(at, entry.uid, entry.gid);
    chmodSync(at, entry.mode);
    setXattrs(path, entry);
    this.#times.delete(path); // the latest of an entry that comes twice, in its order
    this.#times.set(path, timeOf(entry));
  }

  #openFile(path: string, entry: TarEntry): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = this.#fresh(path, () => openSync(bytes(`/${path}`), flags, entry.mode & ~SPECIAL_BITS));
    this.#file = { fd, path, entry };
  }

  #symlink(path: string, entry: TarEntry): void {
    if (entry.linkName === '' || entry.linkName.length > MAX_TARGET || entry.linkName.includes('\0')) throw new BadLayer(`${shown(entry.name)} is a link to nothing that can be`);
    this.#fresh(path, () => symlinkSync(bytes(entry.linkName), bytes(`/${path}`)));
    lchownSync(bytes(`/${path}`), entry.uid, entry.gid);
    lutimesSync(bytes(`/${path}`), timeOf(entry), timeOf(entry));
  }

  #hardlink(path: string, entry: TarEntry): void {
    const names = namesOf(entry.linkName);
    const base = names.pop();
    if (base === undefined) throw new BadLayer(`${shown(entry.name)} is a link to the root`);
    const parent = this.#directory(names, entry.linkName);
    const target = parent === '' ? base : `${parent}/${base}`;
    if (target === path) return;
    const there = statOf(target);
    if (there === null) throw new BadLayer(`${shown(entry.name)} is a hard link to ${shown(entry.linkName)}, which the layer does not have`);
    if (there.isDirectory() || there.isCharacterDevice()) throw new BadLayer(`${shown(entry.name)} is a hard link to ${shown(entry.linkName)}, which is no file`);
    this.#fresh(path, () => linkSync(bytes(`/${target}`), bytes(`/${path}`)));
  }

  #fifo(path: string, entry: TarEntry): void {
    this.#fresh(path, () => makeNode(`/${path}`, constants.S_IFIFO | 0o600));
    lchownSync(bytes(`/${path}`), entry.uid, entry.gid);
    chmodSync(bytes(`/${path}`), entry.mode);
    lutimesSync(bytes(`/${path}`), timeOf(entry), timeOf(entry));
  }

  #whiteout(parent: string, base: string): void {
    if (base === OPAQUE_WHITEOUT) return setXattrAt(parent, OPAQUE, Buffer.from('y'));
    if (base.startsWith(AUFS)) return;
    const name = base.slice(WHITEOUT.length);
    if (name === '' || name === '.' || name === '..') throw new BadLayer(`it has a whiteout of ${shown(name)}`);
    const path = parent === '' ? name : `${parent}/${name}`;
    const there = statOf(path);
    // What the layer itself has stays; of a directory only what lies below goes.
    if (there === null) makeNode(`/${path}`, constants.S_IFCHR);
    else if (there.isDirectory()) setXattrAt(path, OPAQUE, Buffer.from('y'));
    this.#whiteouts.add(path);
  }

  /** Makes something where nothing is, or where a later entry takes the place of an earlier one. */
  #fresh<T>(path: string, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    const there = statOf(path);
    if (there !== null) this.#remove(path, there);
    return make();
  }

  #remove(path: string, there: Stats): void {
    if (there.isDirectory()) {
      rmSync(bytes(`/${path}`), { recursive: true });
      this.#directories = new Set(['']);
    } else {
      unlinkSync(bytes(`/${path}`));
    }
  }

  /** @returns the path, without links, of the directory that the names lead to; it is made where there is none */
  #directory(names: readonly string[], whole: string): string {
    const path = names.join('/');
    if (this.#directories.has(path)) return path;
    const waiting = [...names].reverse();
    let here: string[] = [];
    for (let links = 0; waiting.length > 0;) {
      const name = waiting.pop()!;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        here.pop(); // of a link's target; stays inside
        continue;
      }
      const next = [...here, name];
      const at = next.join('/');
      if (next.length > MAX_DEPTH || at.length > MAX_PATH) throw new BadLayer(`${shown(whole)} lies too deep`);
      if (this.#directories.has(at)) {
        here = next;
        continue;
      }
      const there = statOf(at);
      if (there?.isSymbolicLink()) {
        links += 1;
        if (links > MAX_LINKS) throw new BadLayer(`${shown(whole)} goes through links in circles`);
        const target = readlinkSync(bytes(`/${at}`), { encoding: 'latin1' });
        if (target.startsWith('/')) here = [];
        waiting.push(...target.split('/').reverse());
        continue;
      }
      if (there === null || there.isCharacterDevice()) {
        if (there !== null) this.#remove(at, there);
        mkdirSync(bytes(`/${at}`), 0o755);
        if (there !== null) setXattrAt(at, OPAQUE, Buffer.from('y'));
        this.implied.add(at);
      } else if (!there.isDirectory()) {
        throw new BadLayer(`${shown(whole)} lies below something that is no directory`);
      }
      this.#directories.add(at);
      here = next;
    }
    return here.join('/');
  }
}

/** @throws BadLayer when it leads out */
function namesOf(name: string): string[] {
  if (name.includes('\0')) throw new BadLayer(`it has a name with a zero byte`);
  const names = name.split('/').filter((part) => part !== '' && part !== '.');
  if (names.includes('..')) throw new BadLayer(`${shown(name)} leads out of the layer`);
  if (name.length > MAX_PATH || names.length > MAX_DEPTH || names.some((part) => part.length > MAX_NAME)) throw new BadLayer(`${shown(name)} has too long a name`);
  return names;
}

function checkIds({ uid, gid, name }: TarEntry): void {
  if (uid < 0 || gid < 0 || uid > MAX_ID || gid > MAX_ID || !Number.isInteger(uid) || !Number.isInteger(gid)) {
    throw new BadLayer(`${shown(name)} belongs to the ids ${uid}:${gid}; a sandbox has those from 0 to ${MAX_ID}`);
  }
}

/** Of the attributes those that mean the same in a sandbox: what the overlay keeps for itself must not come from outside. */
function setXattrs(path: string, { xattrs, name }: TarEntry): void {
  if (xattrs.size > MAX_XATTRS) throw new BadLayer(`${shown(name)} has more than ${MAX_XATTRS} extended attributes`);
  for (const [key, value] of xattrs) {
    if (key !== 'security.capability' && !/^user\.[^\0]{1,240}$/.test(key)) continue;
    if (value.length > MAX_XATTR) throw new BadLayer(`${shown(name)} has an extended attribute of more than ${MAX_XATTR} bytes`);
    try {
      setXattrAt(path, key, value);
    } catch (error) {
      if (!['EINVAL', 'EOPNOTSUPP', 'EPERM'].includes(errorCode(error) ?? '')) throw error;
      throw new BadLayer(`${shown(name)} has an extended attribute ${JSON.stringify(key)} that cannot be`);
    }
  }
}

function timeOf({ mtime }: TarEntry): number {
  return Number.isFinite(mtime) ? Math.min(Math.max(mtime, 0), MAX_TIME) : 0;
}

function statOf(path: string): Stats | null {
  return lstatSync(bytes(`/${path}`), { throwIfNoEntry: false }) ?? null;
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
