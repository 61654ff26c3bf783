import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { BlobError, type BlobInfo, type BlobPage, type Blobs, type ByteRange, checkKey, type ListOptions, type PutOptions } from '../blobs.ts';
import { pooled } from '../../pooled.ts';
import { composedEtag } from '../etag.ts';
import { Directories } from './directories.ts';
import { Durable } from './durable.ts';
import { encodeFooter, type Footer, readFooter, toInfo } from './format.ts';
import { Headroom, type Kept } from './headroom.ts';
import { KeyLocks } from './key-locks.ts';
import { type ByteText, pathOfKey, toBytes, toText } from './names.ts';
import { Pieces } from './pieces.ts';
import { walk } from './walk.ts';

/** Up to here a blob is read in one go, and copied where it would otherwise be linked. */
const SMALL_BYTES = 128 * 1024;
/** Written at once; a socket yields 64 KiB. */
const WRITE_BYTES = 256 * 1024;
/** Files of a page or parts worked on together: more than libuv's four threads, so that they never wait for the event loop. */
const FILES_AT_ONCE = 16;
/** A directory that vanishes between being made and being used has a remover at work, again and again: more is a defect. */
const ATTEMPTS = 100;
const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/**
 * Blobs as files: `tree/` mirrors the keys (names.ts), a file carries its content and metadata (format.ts), `tmp/` holds what is being
 * written, `pieces/` the contents made of several blobs. One process at a time may have a directory open: at its first use what an
 * earlier one left half-done is removed, but for empty directories in `tree`, which mean nothing.
 */
export class DiskBlobs implements Blobs {
  readonly #tree: string;
  readonly #tmp: string;
  readonly #durable = new Durable();
  readonly #directories = new Directories();
  readonly #locks = new KeyLocks();
  readonly #pieces: Pieces;
  readonly #root: string;
  readonly #headroom: Headroom;
  #opened: Promise<void> | null = null;

  /**
   * @param root directory; made when missing. May be `/proc/self/fd/<n>` of a directory that its own path does not lead to.
   * @param keepFree room on the disk that is left to others who live there, whatever is put, composed or copied
   */
  constructor(root: string, { keepFree = { bytes: 0, files: 0 } }: { readonly keepFree?: Kept } = {}) {
    this.#root = root;
    this.#headroom = new Headroom(root, keepFree);
    this.#tree = join(root, 'tree');
    this.#tmp = join(root, 'tmp');
    this.#pieces = new Pieces(join(root, 'pieces'), this.#durable, this.#headroom);
  }

  /** Makes the directories and removes what a crash left. Every operation does it by itself when it was not done. */
  open(): Promise<void> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = null;
      throw explained(error);
    });
    return this.#opened;
  }

  close(): void {
    this.#directories.close();
  }

  async put(key: string, body: Readable, options: PutOptions = {}): Promise<BlobInfo> {
    checkKey(key);
    try {
      await this.open();
      return await this.#headroom.withFiles(filesOf(key), () => this.#put(key, body, options));
    } catch (error) {
      throw explained(error);
    } finally {
      body.destroy();
    }
  }

  async get(key: string, range?: ByteRange): Promise<{ info: BlobInfo; body: Readable } | null> {
    checkKey(key);
    await this.open();
    for (let attempt = 1; ; attempt++) {
      const found = await this.#get(key, range);
      if (found !== 'changed') return found;
      if (attempt === ATTEMPTS) throw new BlobError('STORE_FAILED', `The pieces of blob ${key} are missing`);
    }
  }

  async #get(key: string, range?: ByteRange): Promise<{ info: BlobInfo; body: Readable } | null | 'changed'> {
    const file = await openIfThere(pathOfKey(this.#tree, toBytes(key)));
    if (!file) return null;
    let streams = false;
    try {
      const { footer, content } = await readFooter(file, SMALL_BYTES);
      const info = toInfo(key, footer);
      const { first, last } = range ?? { first: 0, last: footer.size - 1 };
      if (last < first) return { info, body: Readable.from([], { objectMode: false }) };
      if (content !== null) return { info, body: Readable.from([content.subarray(first, last + 1)], { objectMode: false }) };
      if (footer.pieces === undefined) {
        streams = true;
        return { info, body: file.createReadStream({ start: first, end: last, highWaterMark: WRITE_BYTES }) };
      }
      const reader = await this.#pieces.reader(footer.pieces);
      if (reader === null) return 'changed'; // replaced since its footer was read
      const body = Readable.from(reader.read({ first, last }), { objectMode: false });
      body.once('close', () => void reader.release().catch(() => undefined));
      return { info, body };
    } finally {
      if (!streams) await file.close();
    }
  }

  async head(key: string): Promise<BlobInfo | null> {
    checkKey(key);
    await this.open();
    const footer = await footerAt(pathOfKey(this.#tree, toBytes(key)));
    return footer && toInfo(key, footer);
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    await this.open();
    const bytes = toBytes(key);
    await this.#locks.run(bytes, async () => {
      const path = pathOfKey(this.#tree, bytes);
      const footer = await footerAt(path).catch(() => null); // a damaged one goes too
      try {
        await unlink(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
        throw error;
      }
      this.#directories.removed(path);
      await this.#durable.sync(await this.#prune(dirname(path)));
      if (footer?.pieces !== undefined) await this.#pieces.remove(footer.pieces);
    });
  }

  async list(prefix: string, { after = '', limit, delimiter }: ListOptions): Promise<BlobPage> {
    await this.open();
    const bounds = { prefix: toBytes(prefix), after: toBytes(after), fold: null as ByteText | null };
    const split = delimiter === undefined || delimiter === '' ? null : toBytes(delimiter);
    const found: { key: ByteText; path: string | null }[] = [];
    let more = false;
    for await (const { key, path } of walk(this.#directories, this.#tree, bounds)) {
      const at = split === null ? -1 : key.indexOf(split, bounds.prefix.length);
      const folded = at < 0 ? null : key.slice(0, at + split!.length);
      if (folded !== null) bounds.fold = folded;
      if (folded !== null && folded === bounds.after) continue; // the last entry of the page before
      if (found.length >= limit) {
        more = limit > 0;
        break;
      }
      found.push(folded === null ? { key, path } : { key: folded, path: null });
    }
    const blobs = await pooled(found.filter((entry) => entry.path !== null), FILES_AT_ONCE, async ({ key, path }) => {
      const footer = await footerAt(path!);
      return footer && toInfo(toText(key), footer);
    });
    return {
      blobs: blobs.filter((blob) => blob !== null), // removed since the walk passed
      prefixes: found.filter((entry) => entry.path === null).map(({ key }) => toText(key)),
      next: more ? toText(found.at(-1)!.key) : null,
    };
  }

  async compose(key: string, parts: readonly string[], options: PutOptions = {}): Promise<BlobInfo> {
    const info = await this.#join(key, parts, options, (footers) => ({ type: null, meta: {}, etag: composedEtag(footers.map(({ etag }) => etag)) }));
    await pooled(parts.filter((part) => part !== key), FILES_AT_ONCE, (part) => this.remove(part));
    return info;
  }

  async copy(from: string, to: string, options: PutOptions = {}): Promise<BlobInfo> {
    const small = await this.#getSmall(from);
    if (small === null) return this.#join(to, [from], options, ([source]) => source!);
    const { contentType, metadata, etag } = small.info;
    return this.put(to, small.body, { contentType: contentType ?? undefined, metadata, etag, ...options });
  }

  async #getSmall(key: string): Promise<{ info: BlobInfo; body: Readable } | null> {
    const source = await this.get(key);
    if (source === null) throw noSuchBlob(key);
    if (source.info.size <= SMALL_BYTES) return source;
    source.body.on('error', () => undefined).destroy();
    return null;
  }

  async #open(): Promise<void> {
    for (const directory of [this.#tree, this.#tmp, join(this.#root, 'pieces')]) await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#tmp)) await rm(join(this.#tmp, name), { recursive: true, force: true });
    const left = await this.#pieces.ids();
    // Not waited for: directories of pieces that no blob names take room and nothing else.
    void this.#collect(left).catch(() => undefined);
  }

  async #collect(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const owner = await this.#pieces.ownerOf(id);
      if (owner === null) await this.#pieces.remove(id);
      else await this.#locks.run(owner, async () => {
        const footer = await footerAt(pathOfKey(this.#tree, owner));
        if (footer?.pieces !== id) await this.#pieces.remove(id);
      });
    }
  }

  async #put(key: string, body: Readable, options: PutOptions): Promise<BlobInfo> {
    const temporary = join(this.#tmp, randomUUID());
    const file = await open(temporary, 'wx', 0o600);
    try {
      let footer: Footer;
      try {
        footer = await writeBlob(file, body, options, this.#headroom);
        await file.datasync();
      } finally {
        await file.close();
      }
      await this.#commit(temporary, toBytes(key), footer, options);
      return toInfo(key, footer);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** A blob whose content is linked from those of others. */
  async #join(key: string, parts: readonly string[], options: PutOptions, defaults: Defaults): Promise<BlobInfo> {
    for (const each of [key, ...parts]) checkKey(each);
    try {
      await this.open();
      const itsOwn = 2; // the directory of the pieces and its index
      return await this.#headroom.withFiles(filesOf(key) + itsOwn + parts.length, () => this.#joinPieces(key, parts, options, defaults));
    } catch (error) {
      throw explained(error);
    }
  }

  async #joinPieces(key: string, parts: readonly string[], options: PutOptions, defaults: Defaults): Promise<BlobInfo> {
    const pieces = randomUUID();
    const temporary = join(this.#tmp, pieces);
    try {
      const made = await this.#pieces.make(pieces, toBytes(key), parts.map((part) => pathOfKey(this.#tree, toBytes(part))));
      if ('missing' in made) throw noSuchBlob(parts[made.missing]!);
      const given = defaults(made);
      const footer: Footer = {
        size: made.reduce((sum, { size }) => sum + size, 0), etag: options.etag ?? given.etag, modified: Date.now(),
        type: options.contentType ?? given.type, meta: options.metadata ?? given.meta, pieces,
      };
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(encodeFooter(footer));
        await file.datasync();
      } finally {
        await file.close();
      }
      await this.#commit(temporary, toBytes(key), footer, options);
      return toInfo(key, footer);
    } catch (error) {
      await rm(temporary, { force: true });
      await this.#pieces.remove(pieces);
      throw error;
    }
  }

  /** The moment a blob comes into being. */
  async #commit(temporary: string, key: ByteText, footer: Footer, { ifAbsent = false }: PutOptions): Promise<void> {
    const path = pathOfKey(this.#tree, key);
    await this.#locks.run(key, async () => {
      const old = await footerAt(path).catch(() => null); // a damaged one is replaced
      if (ifAbsent && old !== null) throw new BlobError('BLOB_EXISTS', `There is a blob ${toText(key)}`);
      await this.#place(temporary, path);
      if (old === null) this.#directories.added(path);
      await this.#durable.ancestors(dirname(path));
      await this.#durable.sync(dirname(path));
      if (old?.pieces !== undefined && old.pieces !== footer.pieces) await this.#pieces.remove(old.pieces);
    });
  }

  async #place(temporary: string, path: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await rename(temporary, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === ATTEMPTS) throw error;
      }
      const directory = dirname(path);
      const first = await this.#durable.makeDirectory(directory);
      if (first === null) continue;
      for (let made = directory; made.length >= first.length; made = dirname(made)) this.#directories.added(made);
    }
  }

  /** Removes directories that became empty. @returns the first that is still there */
  async #prune(directory: string): Promise<string> {
    let path = directory;
    while (path !== this.#tree) {
      try {
        await rmdir(path);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ENOENT' && code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
        if (code !== 'ENOENT') break;
      }
      this.#directories.removed(path);
      path = dirname(path);
    }
    return path;
  }
}

/** What a composed blob has of its parts unless told otherwise. */
type Defaults = (parts: readonly Footer[]) => Pick<Footer, 'type' | 'meta' | 'etag'>;

/** Streams content and footer into the file. */
async function writeBlob(file: FileHandle, body: Readable, { contentType, metadata, etag, md5: wanted }: PutOptions, headroom: Headroom): Promise<Footer> {
  const md5 = etag === undefined || wanted !== undefined ? createHash('md5') : null;
  let size = 0;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer | string>) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    md5?.update(bytes);
    size += bytes.length;
    waiting.push(bytes);
    waitingBytes += bytes.length;
    if (waitingBytes < WRITE_BYTES) continue;
    await headroom.take(waitingBytes);
    await writeAll(file, waiting);
    [waiting, waitingBytes] = [[], 0];
  }
  await headroom.take(waitingBytes);
  const digest = md5?.digest('hex') ?? '';
  if (wanted !== undefined && digest !== wanted) throw new BlobError('BAD_DIGEST', `The md5 of the content is ${digest} and not ${wanted}`);
  const footer: Footer = { size, etag: etag ?? digest, modified: Date.now(), type: contentType ?? null, meta: metadata ?? {} };
  await writeAll(file, [...waiting, encodeFooter(footer)]);
  return footer;
}

async function writeAll(file: FileHandle, buffers: readonly Buffer[]): Promise<void> {
  const { bytesWritten } = await file.writev(buffers);
  const total = buffers.reduce((sum, { length }) => sum + length, 0);
  if (bytesWritten === total) return;
  const rest = Buffer.concat(buffers).subarray(bytesWritten); // the disk is nearly full
  for (let at = 0; at < rest.length; ) at += (await file.write(rest, at, rest.length - at)).bytesWritten;
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}

async function footerAt(path: string): Promise<Footer | null> {
  const file = await openIfThere(path);
  if (!file) return null;
  try {
    return (await readFooter(file)).footer;
  } finally {
    await file.close();
  }
}

/** Files and directories that a blob may need. */
function filesOf(key: string): number {
  return pathOfKey('', toBytes(key)).split('/').length;
}

function noSuchBlob(key: string): BlobError {
  return new BlobError('NO_SUCH_BLOB', `There is no blob ${key}`);
}

/** What the disk says in the store's words. */
function explained(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
  return FULL.has(code) ? new BlobError('STORE_FULL', 'The disk of the blob store is full', { cause: error }) : error;
}
