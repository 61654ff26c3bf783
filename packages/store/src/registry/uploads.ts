import { createHash, randomUUID, type Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Blobs, ByteRange } from '../blobs/blobs.ts';
import { paced } from '../paced.ts';
import { RegistryError } from './errors.ts';
import type { Keys } from './keys.ts';
import { nothing, type Links } from './links.ts';
import { parseDigest, type Digest } from './names.ts';
import { blobsBelow } from './pages.ts';

/** What a chunk or a last part of a body brings along. */
export interface Chunk {
  readonly body: AsyncIterable<Buffer>;
  /** `Content-Range`, null: none was given, it goes to the end. */
  readonly range: ByteRange | null;
  /** `Content-Length`, null: unknown. */
  readonly length: number | null;
}

interface Progress {
  readonly size: number;
  /** Keys of the parts, in order. */
  readonly parts: readonly string[];
  /** sha256 over the parts; null: unknown, it is found by reading them. */
  readonly hash: Hash | null;
}

/** What S3 takes for one object, and what a listing of an upload's state may cost. */
const MAX_PARTS = 10_000;
/** Uploads whose state is in memory, about 1 kB each; others are read from the store. */
const KNOWN_UPLOADS = 1000;
/** S3's limit for an object made of parts; a layer of that size has other problems. */
const MAX_BLOB_BYTES = 5 * 1024 ** 4;
const UPLOAD_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Uploads in pieces. Everything that counts is in the store, each piece whole or not at all, so an upload goes on after the
 * server was killed; memory only saves reading the pieces again for their digest.
 */
export class Uploads {
  readonly #blobs: Blobs;
  readonly #keys: Keys;
  readonly #links: Links;
  readonly #known = new Map<string, Progress>();
  /** Uploads that a request of this process writes to. */
  readonly #busy = new Set<string>();

  constructor(blobs: Blobs, keys: Keys, links: Links) {
    this.#blobs = blobs;
    this.#keys = keys;
    this.#links = links;
  }

  async start(repository: string): Promise<string> {
    const id = randomUUID();
    await this.#blobs.put(this.#keys.session(id), nothing(), { etag: 'session', metadata: { repository } });
    return id;
  }

  /** @returns bytes that are there */
  async size(repository: string, id: string): Promise<number> {
    await this.#check(repository, id);
    return (await this.#progress(id)).size;
  }

  /** @returns bytes that are there now */
  append(repository: string, id: string, chunk: Chunk): Promise<number> {
    return this.#alone(id, async () => {
      await this.#check(repository, id);
      return (await this.#append(id, await this.#progress(id), chunk)).size;
    });
  }

  /** Adds what the last request brings, compares the digest and gives the blob to the repository. A wrong digest ends the upload. */
  finish(repository: string, id: string, digest: Digest, last: Chunk): Promise<void> {
    return this.#alone(id, async () => {
      await this.#check(repository, id);
      const progress = await this.#progress(id);
      try {
        if (progress.size === 0) await this.#store(digest, last);
        else await this.#join(digest, await this.#append(id, progress, last));
      } catch (error) {
        if (error instanceof RegistryError && error.code === 'DIGEST_INVALID') await this.#remove(id);
        throw error;
      }
      await this.#links.addStored(repository, digest);
      await this.#remove(id);
    });
  }

  /** A whole blob in one request. */
  async whole(repository: string, digest: Digest, chunk: Chunk): Promise<void> {
    await this.#store(digest, chunk);
    await this.#links.addStored(repository, digest);
  }

  cancel(repository: string, id: string): Promise<void> {
    return this.#alone(id, async () => {
      await this.#check(repository, id);
      await this.#remove(id);
    });
  }

  /** Removes uploads to which nothing came for this long. @returns how many */
  async collect(olderThanMs: number): Promise<number> {
    const prefix = this.#keys.uploads();
    const latest = new Map<string, number>();
    // Sorted by key, so an upload's keys come together.
    let removed = 0;
    const close = async () => {
      for (const [id, at] of latest) {
        if (Date.now() - at <= olderThanMs || this.#busy.has(id)) continue;
        await this.#remove(id);
        removed += 1;
      }
      latest.clear();
    };
    for await (const { key, modifiedAt } of blobsBelow(this.#blobs, prefix)) {
      const id = key.slice(prefix.length).split('/')[0]!;
      if (!latest.has(id)) await close();
      latest.set(id, Math.max(latest.get(id) ?? 0, modifiedAt.getTime()));
    }
    await close();
    return removed;
  }

  async #check(repository: string, id: string): Promise<void> {
    const session = UPLOAD_ID.test(id) ? await this.#blobs.head(this.#keys.session(id)) : null;
    if (session?.metadata['repository'] !== repository) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
  }

  async #append(id: string, progress: Progress, { body, range, length }: Chunk): Promise<Progress> {
    const { size, parts } = progress;
    const expected = expectedAt(size, range, length);
    if (length === 0) return progress;
    if (parts.length >= MAX_PARTS) throw new RegistryError('BLOB_UPLOAD_INVALID', { message: `An upload has at most ${MAX_PARTS} pieces; send larger ones` });
    const hash = progress.hash?.copy() ?? null;
    const key = this.#keys.part(id, size);
    const info = await this.#blobs.put(key, counted(body, { hash, room: MAX_BLOB_BYTES - size, expected }), { etag: 'part' });
    // A body without bytes: the next piece has the same place.
    if (info.size === 0) return progress;
    const after: Progress = { size: size + info.size, parts: [...parts, key], hash };
    this.#remember(id, after);
    return after;
  }

  /** Streams into the content's place; bytes of another digest leave nothing there. */
  async #store(digest: Digest, { body, range, length }: Chunk): Promise<void> {
    const expected = expectedAt(0, range, length);
    const hash = createHash(digest.algorithm);
    const stream = counted(body, { hash, room: MAX_BLOB_BYTES, expected, atEnd: () => compare(hash, digest) });
    await this.#blobs.put(this.#keys.content(digest), stream, { etag: digest.hex });
  }

  async #join(digest: Digest, { parts, hash }: Progress): Promise<void> {
    compare(digest.algorithm === 'sha256' && hash ? hash.copy() : await this.#hashOf(parts, digest.algorithm), digest);
    await this.#blobs.compose(this.#keys.content(digest), parts, { etag: digest.hex });
  }

  async #hashOf(parts: readonly string[], algorithm: string): Promise<Hash> {
    const hash = createHash(algorithm);
    for (const part of parts) {
      const read = await this.#blobs.get(part);
      if (!read) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
      for await (const chunk of read.body) hash.update(chunk as Buffer);
    }
    return hash;
  }

  async #progress(id: string): Promise<Progress> {
    const known = this.#known.get(id);
    // Right unless another server went on with it.
    if (known && !(await this.#blobs.head(this.#keys.part(id, known.size)))) return known;
    const prefix = this.#keys.parts(id);
    let size = 0;
    const parts: string[] = [];
    for await (const part of blobsBelow(this.#blobs, prefix)) {
      // A place that is not the end of what came before: a request that another server answered late.
      if (Number(part.key.slice(prefix.length)) !== size) break;
      if (part.size === 0) continue;
      parts.push(part.key);
      size += part.size;
    }
    return { size, parts, hash: size === 0 ? createHash('sha256') : null };
  }

  async #remove(id: string): Promise<void> {
    this.#known.delete(id);
    const keys: string[] = [];
    for await (const { key } of blobsBelow(this.#blobs, this.#keys.parts(id))) keys.push(key);
    for (const key of keys) await this.#blobs.remove(key);
    // Last: while it is there the upload can be found and removed again.
    await this.#blobs.remove(this.#keys.session(id));
  }

  async #alone<T>(id: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(id)) throw new RegistryError('BLOB_UPLOAD_INVALID', { status: 409, message: 'Another request is writing to this upload' });
    this.#busy.add(id);
    try {
      return await work();
    } finally {
      this.#busy.delete(id);
    }
  }

  #remember(id: string, progress: Progress): void {
    this.#known.delete(id);
    this.#known.set(id, progress);
    if (this.#known.size > KNOWN_UPLOADS) this.#known.delete(this.#known.keys().next().value!);
  }
}

function compare(hash: Hash, digest: Digest): void {
  const actual = `${digest.algorithm}:${hash.digest('hex')}`;
  if (actual !== digest.text) throw new RegistryError('DIGEST_INVALID', { message: 'The content has another digest than the one given', detail: { given: digest.text, actual } });
}

/** @returns bytes that must come, null: any number */
function expectedAt(size: number, range: ByteRange | null, length: number | null): number | null {
  if (!range) return null;
  if (range.first !== size) throw new RegistryError('PIECE_OUT_OF_ORDER', { detail: { size } });
  const expected = range.last - range.first + 1;
  if (length !== null && length !== expected) throw new RegistryError('SIZE_INVALID', { message: 'Content-Length and Content-Range differ' });
  return expected;
}

interface Counting {
  readonly hash: Hash | null;
  readonly room: number;
  /** Bytes that must come, null: any number. */
  readonly expected: number | null;
  readonly atEnd?: () => void;
}

/** Passes a body on while it is hashed and measured; one that is too long, too short or wrong fails. */
function counted(body: AsyncIterable<Buffer>, { hash, room, expected, atEnd }: Counting): Readable {
  async function* pass(): AsyncGenerator<Buffer> {
    let size = 0;
    for await (const chunk of paced(body)) {
      size += chunk.length;
      if (size > (expected ?? room)) throw new RegistryError('SIZE_INVALID', { message: expected === null ? 'The blob is too large' : 'More came than Content-Range says', status: expected === null ? 413 : 400 });
      hash?.update(chunk);
      yield chunk;
    }
    if (expected !== null && size !== expected) throw new RegistryError('SIZE_INVALID', { message: 'Less came than Content-Range says' });
    atEnd?.();
  }
  return Readable.from(pass(), { objectMode: false });
}

/** The digest a request names. */
export function digestOrThrow(text: string | null): Digest {
  const digest = text === null ? null : parseDigest(text);
  if (!digest) throw new RegistryError('DIGEST_INVALID', text === null ? { message: 'The query must name the `digest`' } : {});
  return digest;
}
