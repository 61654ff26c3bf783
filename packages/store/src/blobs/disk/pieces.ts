import { copyFile, constants, link, mkdir, open, readdir, readFile, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { BlobError, type ByteRange } from '../blobs.ts';
import type { Durable } from './durable.ts';
import { type Footer, readFooter } from './format.ts';
import type { Headroom } from './headroom.ts';

/** One file's share of a content made of several. */
interface Piece {
  readonly name: string;
  readonly size: number;
}

/** `index` of a directory of pieces. */
interface Index {
  /** Byte text of the key whose blob this is. */
  readonly key: string;
  readonly pieces: readonly Piece[];
}

/** File systems without hard links, or with too many on a file. */
const CANNOT_LINK: ReadonlySet<string> = new Set(['EPERM', 'EXDEV', 'EMLINK', 'ENOTSUP', 'ENOSYS', 'EOPNOTSUPP']);
const READ_BYTES = 256 * 1024;
/** As many as one upload has parts. Contents of contents would grow with every round, and the index is read with each of them. */
const MAX_PIECES = 10_000;

/**
 * Contents that consist of other blobs' files: `pieces/<id>/` holds hard links to them, in order, and an index. Nothing is copied, however
 * large. A directory belongs to the one blob whose footer names it; the others are what a crash left.
 */
export class Pieces {
  readonly #root: string;
  readonly #durable: Durable;
  readonly #headroom: Headroom;
  /** Readers of a directory; it is removed when the last one ends. */
  readonly #readers = new Map<string, { count: number; doomed: boolean }>();

  constructor(root: string, durable: Durable, headroom: Headroom) {
    this.#root = root;
    this.#durable = durable;
    this.#headroom = headroom;
  }

  /**
   * @param sources files of blobs @returns footers of the sources, `missing`: that source is missing and nothing was made
   * @throws BlobError TOO_MANY_PIECES or STORE_FULL; the caller removes what was made
   */
  async make(id: string, key: string, sources: readonly string[]): Promise<readonly Footer[] | { readonly missing: number }> {
    const directory = join(this.#root, id);
    await mkdir(directory, { mode: 0o700 });
    const pieces: Piece[] = [];
    const footers: Footer[] = [];
    for (const [position, source] of sources.entries()) {
      const footer = await this.#add(directory, source, pieces);
      if (footer === null) {
        await this.remove(id);
        return { missing: position };
      }
      footers.push(footer);
    }
    const index = await open(join(directory, 'index'), 'wx', 0o600);
    try {
      await index.writeFile(JSON.stringify({ key, pieces } satisfies Index));
      await index.datasync();
    } finally {
      await index.close();
    }
    await this.#durable.sync(directory);
    await this.#durable.sync(this.#root);
    return footers;
  }

  async #add(directory: string, source: string, pieces: Piece[]): Promise<Footer | null> {
    const name = String(pieces.length);
    // Linked first and read afterwards: the name may get another blob in between, the link not.
    if (!(await this.#linkOrCopy(source, join(directory, name)))) return null;
    const { footer } = await withFile(join(directory, name), readFooter);
    if (footer.pieces === undefined) {
      if (footer.size > 0) pieces.push({ name, size: footer.size });
      else await rm(join(directory, name));
      return footer;
    }
    await rm(join(directory, name));
    this.#enter(footer.pieces);
    try {
      const index = await this.#index(footer.pieces);
      if (pieces.length + (index?.pieces.length ?? 0) > MAX_PIECES) throw new BlobError('TOO_MANY_PIECES', `A blob has at most ${MAX_PIECES} pieces`);
      for (const piece of index?.pieces ?? []) {
        const own = String(pieces.length);
        if (!(await this.#linkOrCopy(join(this.#root, footer.pieces, piece.name), join(directory, own)))) return null;
        pieces.push({ name: own, size: piece.size });
      }
      return index ? footer : null;
    } finally {
      await this.#leave(footer.pieces);
    }
  }

  /** @returns false: the source is not there */
  async #linkOrCopy(source: string, target: string): Promise<boolean> {
    try {
      await link(source, target);
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code === 'ENOENT') return false;
      if (!CANNOT_LINK.has(code)) throw error;
    }
    await this.#headroom.take((await stat(source)).size, 1);
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    await withFile(target, (file) => file.datasync());
    return true;
  }

  /** Keeps the pieces from being removed until `release`. @returns null: they are gone already */
  async reader(id: string): Promise<{ read(range: ByteRange): AsyncGenerator<Buffer>; release(): Promise<void> } | null> {
    this.#enter(id);
    const index = await this.#index(id);
    const release = () => this.#leave(id);
    if (index) return { read: (range) => this.#read(id, index, range), release };
    await release();
    return null;
  }

  async *#read(id: string, { pieces }: Index, { first, last }: ByteRange): AsyncGenerator<Buffer> {
    let start = 0;
    for (const { name, size } of pieces) {
      if (start > last) return;
      if (start + size > first) yield* readPart(join(this.#root, id, name), Math.max(first - start, 0), Math.min(last - start, size - 1));
      start += size;
    }
  }

  async remove(id: string): Promise<void> {
    const readers = this.#readers.get(id);
    if (readers) readers.doomed = true;
    else await rm(join(this.#root, id), { recursive: true, force: true });
  }

  ids(): Promise<string[]> {
    return readdir(this.#root);
  }

  /** @returns byte text of the key, null: the directory was not finished */
  async ownerOf(id: string): Promise<string | null> {
    return (await this.#index(id))?.key ?? null;
  }

  async #index(id: string): Promise<Index | null> {
    try {
      return JSON.parse(await readFile(join(this.#root, id, 'index'), 'utf8')) as Index;
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  #enter(id: string): void {
    const readers = this.#readers.get(id) ?? { count: 0, doomed: false };
    readers.count += 1;
    this.#readers.set(id, readers);
  }

  async #leave(id: string): Promise<void> {
    const readers = this.#readers.get(id);
    if (!readers || --readers.count > 0) return;
    this.#readers.delete(id);
    if (readers.doomed) await this.remove(id);
  }
}

async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, 'r');
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

async function* readPart(path: string, first: number, last: number): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    for (let at = first; at <= last; ) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, last - at + 1));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error('The file of a blob ended early');
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}
