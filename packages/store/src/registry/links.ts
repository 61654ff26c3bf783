import { Readable } from 'node:stream';
import type { BlobInfo, Blobs, ByteRange } from '../blobs/blobs.ts';
import { RegistryError } from './errors.ts';
import type { Keys } from './keys.ts';
import type { Exclusive } from './locks.ts';
import { blobLock } from './locks.ts';
import type { Digest } from './names.ts';
import { segmentsOfBacklinks } from './pages.ts';

/** Half of the collector's patience with links that no manifest names: asking for a blob in this time keeps it for a push that goes on. */
const REFRESH_AFTER_MS = 12 * 3_600_000;

export function nothing(): Readable {
  return Readable.from([], { objectMode: false });
}

/** Which repositories may read which content. */
export class Links {
  readonly #blobs: Blobs;
  readonly #keys: Keys;
  readonly #exclusive: Exclusive;

  constructor(blobs: Blobs, keys: Keys, exclusive: Exclusive) {
    this.#blobs = blobs;
    this.#keys = keys;
    this.#exclusive = exclusive;
  }

  /** @returns null when the repository has no such blob */
  async head(repository: string, digest: Digest): Promise<BlobInfo | null> {
    const [link, content] = await Promise.all([this.#blobs.head(this.#keys.link(repository, digest)), this.#blobs.head(this.#keys.content(digest))]);
    return link && content;
  }

  async has(repository: string, digest: Digest): Promise<boolean> {
    return (await this.head(repository, digest)) !== null;
  }

  async get(repository: string, digest: Digest, range?: ByteRange): Promise<{ readonly info: BlobInfo; readonly body: Readable } | null> {
    return (await this.#blobs.head(this.#keys.link(repository, digest))) && this.#blobs.get(this.#keys.content(digest), range);
  }

  /** Whoever pushes asks first what is there already and then counts on it. */
  async refresh(repository: string, digest: Digest): Promise<void> {
    const link = await this.#blobs.head(this.#keys.link(repository, digest));
    if (link && Date.now() - link.modifiedAt.getTime() > REFRESH_AFTER_MS) await this.add(repository, digest);
  }

  /** Content must be there. @returns false: it is not */
  add(repository: string, digest: Digest): Promise<boolean> {
    return this.#exclusive(blobLock(digest), async () => {
      if (!(await this.#blobs.head(this.#keys.content(digest)))) return false;
      await this.#blobs.put(this.#keys.backlink(digest, repository), nothing(), { etag: 'link' });
      await this.#blobs.put(this.#keys.link(repository, digest), nothing(), { etag: 'link' });
      return true;
    });
  }

  /** After content was stored: it is younger than what the collector takes, so it is there. */
  async addStored(repository: string, digest: Digest): Promise<void> {
    if (!(await this.add(repository, digest))) throw new RegistryError('UNAVAILABLE', { message: 'What was just stored is gone; push again' });
  }

  /** The content goes with the next collection when nobody else has a link to it. */
  remove(repository: string, digest: Digest): Promise<void> {
    return this.#exclusive(blobLock(digest), async () => {
      await this.#blobs.remove(this.#keys.link(repository, digest));
      await this.#blobs.remove(this.#keys.backlink(digest, repository));
    });
  }

  /** A repository for which `may` holds and that has the blob. Looks at no more than the first thousand that have it. */
  async findRepository(digest: Digest, may: (repository: string) => boolean): Promise<string | null> {
    for await (const repository of segmentsOfBacklinks(this.#blobs, this.#keys.backlinks(digest))) {
      if (may(repository) && await this.has(repository, digest)) return repository;
    }
    return null;
  }
}
