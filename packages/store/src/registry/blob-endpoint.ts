import { allows } from './credentials.ts';
import { RegistryError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { Links } from './links.ts';
import { isRepository, type Digest } from './names.ts';
import { parseChunkRange, parseRange } from './ranges.ts';
import { digestOrThrow, type Chunk, type Uploads } from './uploads.ts';

interface Parts {
  readonly links: Links;
  readonly uploads: Uploads;
}

/** A year; content with a digest for a name does not change. Private: what one may read another may not. */
const CACHE = 'private, max-age=31536000, immutable';

/** `GET` and `HEAD /v2/<name>/blobs/<digest>`. */
export async function readBlob({ links }: Parts, exchange: Exchange, repository: string, digest: Digest): Promise<void> {
  const info = await links.head(repository, digest);
  if (!info) throw new RegistryError('BLOB_UNKNOWN', { detail: { digest: digest.text } });
  const headers = {
    'docker-content-digest': digest.text, etag: `"${digest.text}"`, 'accept-ranges': 'bytes', 'cache-control': CACHE, 'content-type': 'application/octet-stream',
  };
  if (exchange.method === 'HEAD') {
    // Who may push asks in order to leave out what is there.
    if (exchange.access && allows(exchange.access, repository, 'push')) await links.refresh(repository, digest);
    return exchange.bytes(200, Buffer.alloc(0), headers, info.size);
  }
  if (exchange.header('if-none-match') === headers.etag) return exchange.empty(304, headers);
  const ifRange = exchange.header('if-range');
  const range = ifRange === undefined || ifRange === headers.etag ? parseRange(exchange.header('range'), info.size) : null;
  if (range === 'unsatisfiable') throw new RegistryError('NO_SUCH_RANGE', { headers: { 'content-range': `bytes */${info.size}` } });
  const read = await links.get(repository, digest, range ?? undefined);
  if (!read) throw new RegistryError('BLOB_UNKNOWN', { detail: { digest: digest.text } });
  if (!range) return exchange.stream(200, read.body, { ...headers, 'content-length': String(info.size) });
  return exchange.stream(206, read.body, { ...headers, 'content-length': String(range.last - range.first + 1), 'content-range': `bytes ${range.first}-${range.last}/${info.size}` });
}

/** `POST /v2/<name>/blobs/uploads/`: a mount, a whole blob, or an upload to go on with. */
export async function startUpload({ links, uploads }: Parts, exchange: Exchange, repository: string): Promise<void> {
  const mount = exchange.query.get('mount');
  if (mount !== null && await mounted(links, exchange, repository, digestOrThrow(mount))) return created(exchange, repository, digestOrThrow(mount));
  const named = exchange.query.get('digest');
  if (mount === null && named !== null) {
    const digest = digestOrThrow(named);
    await uploads.whole(repository, digest, chunkOf(exchange));
    return created(exchange, repository, digest);
  }
  accepted(exchange, repository, await uploads.start(repository), 0);
}

/** `GET`: how far it is. */
export async function uploadStatus({ uploads }: Parts, exchange: Exchange, repository: string, id: string): Promise<void> {
  const size = await uploads.size(repository, id);
  exchange.empty(204, progressHeaders(repository, id, size));
}

/** `PATCH`: one more piece. */
export async function continueUpload({ uploads }: Parts, exchange: Exchange, repository: string, id: string): Promise<void> {
  const size = await uploads.append(repository, id, chunkOf(exchange)).catch((error: unknown) => { throw withProgress(error, repository, id); });
  accepted(exchange, repository, id, size);
}

/** `PUT`: the last piece and the digest. */
export async function finishUpload({ uploads }: Parts, exchange: Exchange, repository: string, id: string): Promise<void> {
  const digest = digestOrThrow(exchange.query.get('digest'));
  await uploads.finish(repository, id, digest, chunkOf(exchange)).catch((error: unknown) => { throw withProgress(error, repository, id); });
  created(exchange, repository, digest);
}

/** From a repository that the client may read: the named one, or any it can be found in. */
async function mounted(links: Links, exchange: Exchange, repository: string, digest: Digest): Promise<boolean> {
  const { access } = exchange;
  const may = (name: string) => access !== null && allows(access, name, 'pull');
  const named = exchange.query.get('from');
  const from = named === null ? await links.findRepository(digest, may) : named;
  if (from === null || !isRepository(from) || !may(from) || !(await links.has(from, digest))) return false;
  return links.add(repository, digest);
}

function chunkOf(exchange: Exchange): Chunk {
  const text = exchange.header('content-range');
  const range = text === undefined ? null : parseChunkRange(text);
  if (text !== undefined && !range) throw new RegistryError('BLOB_UPLOAD_INVALID', { message: 'Content-Range must be <first>-<last>' });
  return { body: exchange.body(), range, length: exchange.length };
}

function accepted(exchange: Exchange, repository: string, id: string, size: number): void {
  exchange.empty(202, progressHeaders(repository, id, size));
}

function created(exchange: Exchange, repository: string, digest: Digest): void {
  exchange.empty(201, { location: `/v2/${repository}/blobs/${digest.text}`, 'docker-content-digest': digest.text });
}

/** Of nothing yet it is `0-0`, as clients expect. */
function progressHeaders(repository: string, id: string, size: number): Record<string, string> {
  return { location: `/v2/${repository}/blobs/uploads/${id}`, range: `0-${Math.max(size - 1, 0)}`, 'docker-upload-uuid': id };
}

function withProgress(error: unknown, repository: string, id: string): unknown {
  if (!(error instanceof RegistryError) || error.code !== 'PIECE_OUT_OF_ORDER') return error;
  const { size } = error.detail as { size: number };
  return new RegistryError('PIECE_OUT_OF_ORDER', { message: `The next piece begins at ${size}`, headers: progressHeaders(repository, id, size) });
}
