import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Blobs } from '../blobs/blobs.ts';
import { RegistryError } from './errors.ts';
import type { Keys } from './keys.ts';
import { nothing, type Links } from './links.ts';
import { repositoryLock, type Exclusive } from './locks.ts';
import { parseManifest, type Manifest } from './manifest.ts';
import { isTag, parseDigest, type Algorithm, type Digest } from './names.ts';
import { blobsBelow, bytesOf, forEachOf } from './pages.ts';

export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface PutManifest {
  /** Tag or digest. */
  readonly reference: string;
  readonly contentType: string | null;
  readonly bytes: Buffer;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** To go on with; null at the end. */
  readonly next: string | null;
}

/** An entry of the referrers API. */
export interface Referrer {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const LOOKUPS_AT_ONCE = 8;
/** A page of referrers is held in memory and a client takes 4 MiB of JSON at most; one entry may have 4 MiB of annotations by itself. */
const REFERRERS_BYTES = 1024 * 1024;

/** Manifests of repositories, their tags, and who refers to them. */
export class Manifests {
  readonly #blobs: Blobs;
  readonly #keys: Keys;
  readonly #links: Links;
  readonly #exclusive: Exclusive;

  constructor(blobs: Blobs, keys: Keys, links: Links, exclusive: Exclusive) {
    this.#blobs = blobs;
    this.#keys = keys;
    this.#links = links;
    this.#exclusive = exclusive;
  }

  /** @param reference tag or digest @returns null when there is none */
  async find(repository: string, reference: string): Promise<Digest | null> {
    const digest = parseDigest(reference);
    if (digest) return (await this.#blobs.head(this.#keys.manifest(repository, digest))) && digest;
    if (!isTag(reference)) return null;
    const tag = await this.#blobs.head(this.#keys.tag(repository, reference));
    return tag && parseDigest(tag.metadata['digest'] ?? '');
  }

  async get(repository: string, digest: Digest): Promise<StoredManifest | null> {
    const read = await this.#blobs.get(this.#keys.manifest(repository, digest));
    return read && { digest, mediaType: read.info.contentType ?? '', bytes: await bytesOf(read.body) };
  }

  /** Everything it names must be there already. What it says is stored before the tag that leads to it. */
  async put(repository: string, { reference, contentType, bytes }: PutManifest): Promise<{ readonly digest: Digest; readonly manifest: Manifest }> {
    const named = parseDigest(reference);
    if (!named && !isTag(reference)) throw new RegistryError('TAG_INVALID');
    const digest = digestOf(bytes, named?.algorithm ?? 'sha256');
    if (named && named.text !== digest.text) throw new RegistryError('DIGEST_INVALID', { detail: { given: named.text, actual: digest.text } });
    const manifest = parseManifest(bytes, contentType);
    await this.#exclusive(repositoryLock(repository), async () => {
      await this.#mustHave(repository, manifest);
      await this.#blobs.put(this.#keys.manifest(repository, digest), Readable.from([bytes], { objectMode: false }), { contentType: manifest.mediaType, etag: digest.hex });
      if (manifest.subject) await this.#refer(repository, manifest.subject, digest, manifest, bytes.length);
      if (!named) await this.#blobs.put(this.#keys.tag(repository, reference), nothing(), { etag: 'tag', metadata: { digest: digest.text } });
    });
    return { digest, manifest };
  }

  /** The manifest, its tags and its place among the referrers of its subject. @returns false: there is none */
  remove(repository: string, digest: Digest): Promise<boolean> {
    return this.#exclusive(repositoryLock(repository), async () => {
      const stored = await this.get(repository, digest);
      if (!stored) return false;
      for (const key of await this.#tagsOf(repository, digest)) await this.#blobs.remove(key);
      const { subject } = parseManifest(stored.bytes, stored.mediaType);
      if (subject) await this.#blobs.remove(this.#keys.referrers(repository, subject) + digest.text);
      await this.#blobs.remove(this.#keys.manifest(repository, digest));
      return true;
    });
  }

  /** @returns false: there is none */
  removeTag(repository: string, tag: string): Promise<boolean> {
    return this.#exclusive(repositoryLock(repository), async () => {
      const key = this.#keys.tag(repository, tag);
      if (!isTag(tag) || !(await this.#blobs.head(key))) return false;
      await this.#blobs.remove(key);
      return true;
    });
  }

  async isTagged(repository: string, digest: Digest): Promise<boolean> {
    return (await this.#tagsOf(repository, digest)).length > 0;
  }

  /** Keys. Each is looked at by itself: listings of an external store have no metadata. */
  async #tagsOf(repository: string, digest: Digest): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of blobsBelow(this.#blobs, this.#keys.tags(repository))) keys.push(key);
    const found: string[] = [];
    await forEachOf(keys, LOOKUPS_AT_ONCE, async (key) => {
      if ((await this.#blobs.head(key))?.metadata['digest'] === digest.text) found.push(key);
    });
    return found;
  }

  /** wire: in lexical order, case does not matter. @returns null: there is no such repository */
  async tags(repository: string, limit: number, after: string): Promise<Page<string> | null> {
    if (!(await this.#exists(repository))) return null;
    const prefix = this.#keys.tags(repository);
    if (limit === 0) return { items: [], next: null };
    const page = await this.#blobs.list(prefix, { limit, ...(after === '' ? {} : { after: this.#keys.tag(repository, after) }) });
    const items = page.blobs.map(({ key }) => this.#keys.tagOf(repository, key));
    return { items, next: page.next === null ? null : this.#keys.tagOf(repository, page.next) };
  }

  /** Manifests that name this one as their subject, which need not exist. */
  async referrers(repository: string, subject: Digest, artifactType: string | null, after: string): Promise<Page<Referrer>> {
    const prefix = this.#keys.referrers(repository, subject);
    const items: Referrer[] = [];
    let bytes = 0;
    let position = after === '' ? undefined : prefix + after;
    for (;;) {
      const page = await this.#blobs.list(prefix, { limit: 100, ...(position === undefined ? {} : { after: position }) });
      for (const { key, size } of page.blobs) {
        if (items.length > 0 && bytes + size > REFERRERS_BYTES) return { items, next: position!.slice(prefix.length) };
        const read = await this.#blobs.get(key);
        position = key;
        if (!read) continue;
        const referrer = JSON.parse((await bytesOf(read.body)).toString('utf8')) as Referrer;
        if (artifactType !== null && referrer.artifactType !== artifactType) continue;
        items.push(referrer);
        bytes += size;
      }
      if (page.next === null) return { items, next: null };
      position = page.next;
    }
  }

  async #exists(repository: string): Promise<boolean> {
    return (await this.#blobs.list(this.#keys.manifests(repository), { limit: 1 })).blobs.length > 0;
  }

  async #mustHave(repository: string, { blobs, manifests }: Manifest): Promise<void> {
    const missing: string[] = [];
    await forEachOf(unique(blobs), LOOKUPS_AT_ONCE, async (digest) => {
      if (!(await this.#links.has(repository, digest))) missing.push(digest.text);
    });
    await forEachOf(unique(manifests), LOOKUPS_AT_ONCE, async (digest) => {
      if (!(await this.#blobs.head(this.#keys.manifest(repository, digest)))) missing.push(digest.text);
    });
    if (missing.length > 0) throw new RegistryError('MANIFEST_BLOB_UNKNOWN', { detail: { digests: missing.slice(0, 20) } });
  }

  async #refer(repository: string, subject: Digest, digest: Digest, { mediaType, artifactType, annotations }: Manifest, size: number): Promise<void> {
    const referrer: Referrer = { mediaType, digest: digest.text, size, ...(artifactType === null ? {} : { artifactType }), ...(annotations === null ? {} : { annotations }) };
    await this.#blobs.put(this.#keys.referrers(repository, subject) + digest.text, Readable.from([Buffer.from(JSON.stringify(referrer))], { objectMode: false }), { etag: digest.hex });
  }
}

export function digestOf(bytes: Buffer, algorithm: Algorithm): Digest {
  const hex = createHash(algorithm).update(bytes).digest('hex');
  return { algorithm, hex, text: `${algorithm}:${hex}` };
}

function unique(digests: readonly Digest[]): Digest[] {
  return [...new Map(digests.map((digest) => [digest.text, digest])).values()];
}
