import { RegistryError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { segment } from './keys.ts';
import { defaultOf, isIndexType, MAX_MANIFEST_BYTES, OCI_INDEX } from './manifest.ts';
import type { Manifests, StoredManifest } from './manifests.ts';
import { digestOrThrow } from './uploads.ts';
import { parseDigest } from './names.ts';

/** Entries of a list when the client names no number, and the most it gets at once. */
const PAGE = 1000;
/** Longest `last`: a tag, or the digest of a referrer. */
const MAX_LAST = 256;

/** `GET` and `HEAD /v2/<name>/manifests/<reference>`. */
export async function readManifest(manifests: Manifests, exchange: Exchange, repository: string, reference: string): Promise<void> {
  const digest = await manifests.find(repository, reference);
  const stored = digest && await manifests.get(repository, digest);
  if (!stored) throw new RegistryError('MANIFEST_UNKNOWN', { detail: { reference: reference.slice(0, 200) } });
  const answer = await negotiated(manifests, exchange, repository, stored, parseDigest(reference) !== null);
  const headers = { 'content-type': answer.mediaType, 'docker-content-digest': answer.digest.text, etag: `"${answer.digest.text}"`, vary: 'accept' };
  if (exchange.header('if-none-match') === headers.etag) return exchange.empty(304, headers);
  exchange.bytes(200, answer.bytes, headers);
}

/** `PUT`. */
export async function writeManifest(manifests: Manifests, exchange: Exchange, repository: string, reference: string): Promise<void> {
  const bytes = await exchange.wholeBody(MAX_MANIFEST_BYTES, () => new RegistryError('SIZE_INVALID', { status: 413, message: `A manifest has at most ${MAX_MANIFEST_BYTES} bytes` }));
  const type = exchange.header('content-type')?.split(';')[0]!.trim();
  const { digest, manifest } = await manifests.put(repository, { reference, contentType: type || null, bytes });
  exchange.empty(201, {
    location: `/v2/${repository}/manifests/${digest.text}`, 'docker-content-digest': digest.text, ...(manifest.subject ? { 'oci-subject': manifest.subject.text } : {}),
  });
}

/** `DELETE`: by digest the manifest with all its tags, by tag the tag alone. */
export async function deleteManifest(manifests: Manifests, exchange: Exchange, repository: string, reference: string): Promise<void> {
  const digest = parseDigest(reference);
  const removed = digest ? await manifests.remove(repository, digest) : await manifests.removeTag(repository, reference);
  if (!removed) throw new RegistryError('MANIFEST_UNKNOWN', { detail: { reference: reference.slice(0, 200) } });
  exchange.empty(202);
}

/** `GET /v2/<name>/tags/list`. */
export async function listTags(manifests: Manifests, exchange: Exchange, repository: string): Promise<void> {
  const limit = limitOf(exchange);
  const page = await manifests.tags(repository, limit, lastOf(exchange));
  if (!page) throw new RegistryError('NAME_UNKNOWN', { detail: { repository } });
  exchange.json(200, { name: repository, tags: page.items }, nextLink(`/v2/${repository}/tags/list`, page.next, { n: String(limit) }));
}

/** `GET /v2/<name>/referrers/<digest>`. Nobody refers to what does not exist: an empty index. */
export async function listReferrers(manifests: Manifests, exchange: Exchange, repository: string, digest: string): Promise<void> {
  const artifactType = exchange.query.get('artifactType') || null;
  const page = await manifests.referrers(repository, digestOrThrow(digest), artifactType, lastOf(exchange));
  exchange.json(200, { schemaVersion: 2, mediaType: OCI_INDEX, manifests: page.items }, {
    'content-type': OCI_INDEX, ...(artifactType === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    ...nextLink(`/v2/${repository}/referrers/${digest}`, page.next, artifactType === null ? {} : { artifactType }),
  });
}

/** `GET /v2/_catalog`: repositories that the client may list. @param names those that begin with a prefix, in order: nobody's listing grows with what others have */
export async function listRepositories(names: (prefix: string, after: string) => AsyncIterable<string>, exchange: Exchange): Promise<void> {
  const limit = limitOf(exchange);
  const found: string[] = [];
  let more = false;
  const last = lastOf(exchange);
  for (const prefix of limit > 0 ? prefixesOf(exchange) : []) {
    for await (const name of names(prefix, last)) {
      if (last !== '' && segment(name) <= segment(last)) continue; // a prefix before the one that the page before ended in
      if ((more = found.length === limit)) break;
      found.push(name);
    }
    if (more) break;
  }
  exchange.json(200, { repositories: found }, nextLink('/v2/_catalog', more ? found.at(-1)! : null, { n: String(limit) }));
}

/** Disjoint, in the order of their keys. */
function prefixesOf({ access }: Exchange): string[] {
  const prefixes = (access?.grants ?? []).filter(({ actions }) => actions.includes('catalog')).map(({ repositories }) => repositories).sort((a, b) => (segment(a) < segment(b) ? -1 : 1));
  return prefixes.filter((prefix, index) => prefix.endsWith('/') && !prefixes.slice(0, index).some((shorter) => shorter.endsWith('/') && prefix.startsWith(shorter)));
}

/**
 * Clients that list the types they take and leave an index out get its image for Linux on amd64, as Docker's registry does
 * for tags; what they cannot take at all does not exist for them.
 */
async function negotiated(manifests: Manifests, exchange: Exchange, repository: string, stored: StoredManifest, byDigest: boolean): Promise<StoredManifest> {
  const types = (exchange.header('accept') ?? '').split(',').map((part) => part.split(';')[0]!.trim().toLowerCase()).filter(Boolean);
  const takes = (type: string) => types.length === 0 || types.some((accepted) => accepted === type || accepted === '*/*' || accepted === 'application/*');
  if (takes(stored.mediaType) || byDigest) return stored;
  const chosen = isIndexType(stored.mediaType) ? defaultOf(stored.bytes) : null;
  const image = chosen && await manifests.get(repository, chosen);
  if (image && takes(image.mediaType)) return image;
  // A client that takes no manifest type at all did not mean to negotiate: `application/json`, `text/html`.
  if (!types.some((type) => type.includes('manifest') || type.includes('index'))) return stored;
  throw new RegistryError('MANIFEST_UNKNOWN', { message: `It is ${stored.mediaType}, which the Accept header does not name` });
}

function limitOf(exchange: Exchange): number {
  const text = exchange.query.get('n');
  if (text === null || text === '') return PAGE;
  if (!/^\d{1,9}$/.test(text)) throw new RegistryError('PAGINATION_NUMBER_INVALID');
  return Math.min(Number(text), PAGE);
}

function lastOf(exchange: Exchange): string {
  const text = exchange.query.get('last') ?? '';
  if (text.length > MAX_LAST || text.includes('\0')) throw new RegistryError('PAGINATION_NUMBER_INVALID', { message: '`last` is an entry of this list' });
  return text;
}

function nextLink(path: string, next: string | null, query: Readonly<Record<string, string>>): Record<string, string> {
  return next === null ? {} : { link: `<${path}?${new URLSearchParams({ ...query, last: next }).toString()}>; rel="next"` };
}
