import type { Blobs } from '../blobs/blobs.ts';
import type { Keys } from './keys.ts';
import { nameOfSegment } from './keys.ts';
import type { Links } from './links.ts';
import { blobLock, repositoryLock, type Exclusive } from './locks.ts';
import { parseManifest } from './manifest.ts';
import { parseDigest, type Digest } from './names.ts';
import { blobsBelow, bytesOf, segmentsBelow } from './pages.ts';

export interface Patience {
  /** Age of a link that no manifest names: a push has this long from its first blob to its manifest. */
  readonly linkMs: number;
  /** Age of content that nobody has a link to: storing content and linking it are two steps. */
  readonly contentMs: number;
  /** Silence of an upload. */
  readonly uploadMs: number;
}

export const PATIENCE: Patience = { linkMs: 24 * 3_600_000, contentMs: 3_600_000, uploadMs: 24 * 3_600_000 };

export interface Collected {
  links: number;
  contents: number;
  bytes: number;
}

interface Parts {
  readonly blobs: Blobs;
  readonly keys: Keys;
  readonly links: Links;
  readonly exclusive: Exclusive;
  readonly patience: Patience;
}

/**
 * Removes what nothing leads to any more, while pushes and pulls go on. A link goes when no manifest of its repository names
 * it, checked again under the repository's lock, under which manifests are stored. Content goes when it has no link, checked
 * under the blob's lock, under which links are made.
 */
export class Collector {
  readonly #parts: Parts;
  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async collect(): Promise<Collected> {
    const { blobs, keys } = this.#parts;
    const collected: Collected = { links: 0, contents: 0, bytes: 0 };
    for await (const segment of segmentsBelow(blobs, keys.repositories())) await this.#repository(nameOfSegment(segment), collected);
    const prefix = `${keys.root}content/`;
    for await (const { key, size, modifiedAt } of blobsBelow(blobs, prefix)) {
      const [algorithm, , hex] = key.slice(prefix.length).split('/');
      const digest = parseDigest(`${algorithm}:${hex}`);
      if (!digest || isYoung(modifiedAt, this.#parts.patience.contentMs)) continue;
      if (await this.#content(digest)) {
        collected.contents += 1;
        collected.bytes += size;
      }
    }
    return collected;
  }

  async #repository(name: string, collected: Collected): Promise<void> {
    const { blobs, keys, links, exclusive, patience } = this.#parts;
    const seen = new Set<string>();
    const used = new Set<string>();
    await this.#mark(name, seen, used);
    const unused: Digest[] = [];
    const prefix = keys.links(name);
    for await (const { key, modifiedAt } of blobsBelow(blobs, prefix)) {
      const digest = parseDigest(key.slice(prefix.length).replace('/', ':'));
      if (digest && !used.has(digest.text) && !isYoung(modifiedAt, patience.linkMs)) unused.push(digest);
    }
    if (unused.length === 0) return;
    await exclusive(repositoryLock(name), async () => {
      await this.#mark(name, seen, used);
      for (const digest of unused) {
        const link = await blobs.head(keys.link(name, digest));
        // Pushed or asked for since: somebody counts on it.
        if (used.has(digest.text) || !link || isYoung(link.modifiedAt, patience.linkMs)) continue;
        await links.remove(name, digest);
        collected.links += 1;
      }
    });
  }

  /** Adds what manifests name that were not seen yet. Reads one manifest at a time. */
  async #mark(repository: string, seen: Set<string>, used: Set<string>): Promise<void> {
    const { blobs, keys } = this.#parts;
    for await (const { key } of blobsBelow(blobs, keys.manifests(repository))) {
      if (seen.has(key)) continue;
      const read = await blobs.get(key);
      if (!read) continue;
      for (const { text } of parseManifest(await bytesOf(read.body), read.info.contentType).blobs) used.add(text);
      seen.add(key);
    }
  }

  /** @returns whether it went */
  async #content(digest: Digest): Promise<boolean> {
    const { blobs, keys, exclusive, patience } = this.#parts;
    if (await this.#hasLink(digest, false)) return false;
    return exclusive(blobLock(digest), async () => {
      const content = await blobs.head(keys.content(digest));
      if (!content || isYoung(content.modifiedAt, patience.contentMs) || (await this.#hasLink(digest, true))) return false;
      await blobs.remove(keys.content(digest));
      return true;
    });
  }

  /** @param locked whether backlinks whose link is gone (a crash between the two removals) may be dropped: without the lock the link may be on its way */
  async #hasLink(digest: Digest, locked: boolean): Promise<boolean> {
    const { blobs, keys, links, patience } = this.#parts;
    const prefix = keys.backlinks(digest);
    for await (const { key, modifiedAt } of blobsBelow(blobs, prefix)) {
      const repository = nameOfSegment(key.slice(prefix.length));
      if (isYoung(modifiedAt, patience.contentMs) || (await blobs.head(keys.link(repository, digest)))) return true;
      if (locked) await blobs.remove(key);
    }
    return false;
  }
}

function isYoung(at: Date, ms: number): boolean {
  return Date.now() - at.getTime() < ms;
}
