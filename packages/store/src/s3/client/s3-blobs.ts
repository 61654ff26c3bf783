import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ObjectAccess } from '@paddock/contract';
import { BlobError, type BlobInfo, type BlobPage, type Blobs, type ByteRange, checkKey, type ListOptions, type PutOptions } from '../../blobs/blobs.ts';
import { encodeKey, encodeStrict } from '../encoding.ts';
import { GIVEN_ETAG as ETAG } from '../given-etag.ts';
import { childText, document, type XmlElement } from '../xml.ts';
import { S3Connection, type S3Reply } from './connection.ts';

/**
 * Content up to here is one request. Beyond, parts of this size: some stores want all parts alike, and 10,000 of them hold 156 GiB. Five at
 * most are in memory: on their way, and the next one in pieces and in one.
 */
const PART_BYTES = 16 * 1024 ** 2;
const PARTS_AT_ONCE = 3;
const MAX_PARTS = 10_000;
/** wire: what a part but the last must have, and what one request may copy. */
const MIN_PART_BYTES = 5 * 1024 ** 2;
const MAX_COPY_BYTES = 5 * 1024 ** 3;
const COPY_RANGE_BYTES = 1024 ** 3;
const PAGE = 1000;
/** How often a download that breaks off goes on where it stopped. */
const RESUMES = 3;
/** Beyond every key that begins with what stands before it. */
const LAST = '\u{10ffff}';

/** Blobs of one prefix, keys relative to it. Light: to be had anywhere. */
export function openBlobs(access: ObjectAccess): Blobs {
  return new S3Blobs(access);
}

/**
 * Blobs in an S3 store. Listings know neither content type nor metadata (null and none there). An ETag is the store's own unless given.
 * Without `If-None-Match` in the store, `ifAbsent` only looks first.
 */
export class S3Blobs implements Blobs {
  readonly #connection: S3Connection;
  readonly #prefix: string;

  constructor(access: ObjectAccess) {
    this.#connection = new S3Connection(access);
    this.#prefix = access.prefix;
  }

  async put(key: string, body: Readable, options: PutOptions = {}): Promise<BlobInfo> {
    checkKey(this.#prefix + key);
    try {
      return await this.#put(key, options.md5 === undefined ? body : Readable.from(verified(body, options.md5), { objectMode: false }), options);
    } finally {
      body.destroy();
    }
  }

  async get(key: string, range?: ByteRange): Promise<{ info: BlobInfo; body: Readable } | null> {
    checkKey(this.#prefix + key);
    if (range && range.last < range.first) {
      const info = await this.head(key);
      return info && { info, body: Readable.from([], { objectMode: false }) };
    }
    const reply = await this.#connection.call({ method: 'GET', key: this.#prefix + key, headers: rangeHeader(range), accepts: [404] });
    if (reply.status === 404) return missing(reply);
    const total = /\/(\d+)$/.exec(reply.headers['content-range'] ?? '')?.[1] ?? reply.headers['content-length'] ?? '0';
    const info = infoOf(key, Number(total), reply);
    const body = Readable.from(this.#resumed(key, reply, range ?? { first: 0, last: info.size - 1 }), { objectMode: false });
    return { info, body };
  }

  async head(key: string): Promise<BlobInfo | null> {
    checkKey(this.#prefix + key);
    const reply = await this.#connection.done({ method: 'HEAD', key: this.#prefix + key, accepts: [404] });
    return reply.status === 404 ? null : infoOf(key, Number(reply.headers['content-length'] ?? 0), reply);
  }

  async remove(key: string): Promise<void> {
    checkKey(this.#prefix + key);
    await this.#connection.done({ method: 'DELETE', key: this.#prefix + key, accepts: [404] });
  }

  async list(prefix: string, { after, limit, delimiter }: ListOptions): Promise<BlobPage> {
    if (limit < 1) return { blobs: [], prefixes: [], next: null };
    const from = after === undefined ? null : this.#prefix + after + (delimiter && after.length > prefix.length && after.endsWith(delimiter) ? LAST : '');
    const root = await this.#connection.document({
      method: 'GET', key: '',
      query: {
        'list-type': '2', 'encoding-type': 'url', prefix: this.#prefix + prefix, 'max-keys': String(Math.min(limit, PAGE)),
        ...(delimiter ? { delimiter } : {}), ...(from === null ? {} : { 'start-after': from }),
      },
    });
    const blobs = root.children.filter(({ name }) => name === 'Contents').map((entry) => this.#listed(entry));
    const prefixes = root.children.filter(({ name }) => name === 'CommonPrefixes').map((entry) => this.#relative(childText(entry, 'Prefix') ?? ''));
    const last = [...blobs.map(({ key }) => key), ...prefixes].reduce((a, b) => (Buffer.compare(Buffer.from(a), Buffer.from(b)) > 0 ? a : b), '');
    return { blobs, prefixes, next: childText(root, 'IsTruncated') === 'true' ? last : null };
  }

  async compose(key: string, parts: readonly string[], options: PutOptions = {}): Promise<BlobInfo> {
    for (const each of [key, ...parts]) checkKey(this.#prefix + each);
    const sources = await Promise.all(parts.map((part) => this.#existing(part)));
    const large = sources.length > 0 && sources.every(({ size }, index) => size >= MIN_PART_BYTES || (index === sources.length - 1 && size > 0));
    const info = large ? await this.#joinInStore(key, sources, options) : await this.put(key, Readable.from(this.#concatenated(sources), { objectMode: false }), options);
    for (const part of parts) if (part !== key) await this.remove(part);
    return info;
  }

  async copy(from: string, to: string, options: PutOptions = {}): Promise<BlobInfo> {
    const source = await this.#existing(from);
    const given = { contentType: options.contentType ?? source.contentType ?? undefined, metadata: options.metadata ?? source.metadata, ifAbsent: options.ifAbsent, ...(options.etag === undefined ? {} : { etag: options.etag }) };
    if (given.ifAbsent && (await this.head(to))) throw exists(to);
    if (source.size > MAX_COPY_BYTES) return this.#joinInStore(to, [source], given);
    await this.#connection.document({
      method: 'PUT', key: this.#prefix + to, headers: { ...objectHeaders(given), 'x-amz-copy-source': this.#sourceOf(from), 'x-amz-metadata-directive': 'REPLACE' },
    });
    return this.#existing(to);
  }

  async #put(key: string, body: Readable, options: PutOptions): Promise<BlobInfo> {
    const parts = partsOf(body);
    const first = await parts.next();
    const second = first.done ? first : await parts.next();
    if (!second.done) return this.#putParts(key, prepended([first.value as Buffer, second.value], parts), options);
    const content = first.done ? Buffer.alloc(0) : first.value;
    const reply = await this.#writing(key, options, (headers) => this.#connection.done({ method: 'PUT', key: this.#prefix + key, headers: { ...objectHeaders(options), ...headers }, body: content, ...(options.sha256 === undefined ? {} : { sha256: options.sha256 }), accepts: [409, 412] }));
    return { ...infoOf(key, content.length, reply), etag: options.etag ?? unquoted(reply.headers.etag), contentType: options.contentType ?? null, metadata: options.metadata ?? {}, modifiedAt: new Date(reply.headers.date ?? Date.now()) };
  }

  /** Some parts are on their way, and become stable over there, while the next one is gathered. */
  async #putParts(key: string, parts: AsyncIterable<Buffer>, options: PutOptions): Promise<BlobInfo> {
    return this.#multipart(key, options, async (upload) => {
      const etags: string[] = [];
      const sending: Promise<void>[] = [];
      try {
        for await (const part of parts) {
          if (sending.length === PARTS_AT_ONCE) await sending.shift();
          const number = etags.push('');
          if (number > MAX_PARTS) throw new BlobError('STORE_FAILED', `A blob in an external store has at most ${(PART_BYTES * MAX_PARTS) / 1024 ** 3} GiB`);
          const sent = this.#connection.done({ method: 'PUT', key: this.#prefix + key, query: { partNumber: String(number), uploadId: upload }, body: part }).then((reply) => void (etags[number - 1] = unquoted(reply.headers.etag)));
          sent.catch(() => undefined); // awaited above or below
          sending.push(sent);
        }
        await Promise.all(sending);
      } finally {
        await Promise.allSettled(sending); // a part that comes after the end of its upload would stay
      }
      return etags;
    });
  }

  async #joinInStore(key: string, sources: readonly BlobInfo[], options: PutOptions): Promise<BlobInfo> {
    return this.#multipart(key, options, async (upload) => {
      const etags: string[] = [];
      for (const source of sources) {
        for (const range of copyRanges(source.size)) {
          const root = await this.#connection.document({
            method: 'PUT', key: this.#prefix + key, query: { partNumber: String(etags.length + 1), uploadId: upload },
            headers: { 'x-amz-copy-source': this.#sourceOf(source.key), ...(range === null ? {} : { 'x-amz-copy-source-range': `bytes=${range.first}-${range.last}` }) },
          });
          etags.push(unquoted(childText(root, 'ETag') ?? ''));
        }
      }
      return etags;
    });
  }

  async #multipart(key: string, options: PutOptions, send: (upload: string) => Promise<readonly string[]>): Promise<BlobInfo> {
    const started = await this.#connection.document({ method: 'POST', key: this.#prefix + key, query: { uploads: '' }, headers: objectHeaders(options) });
    const upload = childText(started, 'UploadId') ?? '';
    try {
      const etags = await send(upload);
      const body = Buffer.from(document('CompleteMultipartUpload', { Part: etags.map((etag, index) => ({ PartNumber: index + 1, ETag: `"${etag}"` })) }));
      await this.#writing(key, options, (headers) => this.#connection.done({ method: 'POST', key: this.#prefix + key, query: { uploadId: upload }, headers, body, accepts: [409, 412] }));
    } catch (error) {
      // Best effort: what stays is collected by the store.
      await this.#connection.done({ method: 'DELETE', key: this.#prefix + key, query: { uploadId: upload }, accepts: [404] }).catch(() => undefined);
      throw error;
    }
    return this.#existing(key);
  }

  /** Runs the write that makes the blob; the store refuses it when there is one and there must not be. */
  async #writing(key: string, { ifAbsent }: PutOptions, write: (headers: Record<string, string>) => Promise<S3Reply>): Promise<S3Reply> {
    if (ifAbsent && (await this.head(key))) throw exists(key);
    const reply = await write(ifAbsent ? { 'if-none-match': '*' } : {});
    if (reply.status === 412 || reply.status === 409) throw exists(key);
    return reply;
  }

  async #existing(key: string): Promise<BlobInfo> {
    const info = await this.head(key);
    if (info === null) throw new BlobError('NO_SUCH_BLOB', `There is no blob ${key}`);
    return info;
  }

  async *#concatenated(sources: readonly BlobInfo[]): AsyncGenerator<Buffer> {
    for (const { key } of sources) {
      const found = await this.get(key);
      if (found === null) throw new BlobError('NO_SUCH_BLOB', `There is no blob ${key}`);
      yield* found.body as AsyncIterable<Buffer>;
    }
  }

  /** A download that breaks off goes on where it stopped, as long as the object is the same. */
  async *#resumed(key: string, opened: S3Reply, { first, last }: ByteRange): AsyncGenerator<Buffer> {
    let at = first;
    let reply = opened;
    for (let attempt = 0; at <= last; attempt++) {
      try {
        for await (const chunk of reply.stream as AsyncIterable<Buffer>) {
          at += chunk.length;
          yield chunk;
        }
        if (at > last) return;
      } catch (error) {
        if (attempt >= RESUMES) throw new BlobError('STORE_FAILED', `The object store broke off in the middle of ${key}`, { cause: error });
      }
      if (attempt >= RESUMES) throw new BlobError('STORE_FAILED', `The object store broke off in the middle of ${key}`);
      reply = await this.#connection.call({ method: 'GET', key: this.#prefix + key, headers: { ...rangeHeader({ first: at, last }), 'if-match': opened.headers.etag ?? '*' } });
    }
    reply.stream.resume();
  }

  #listed(entry: XmlElement): BlobInfo {
    return {
      key: this.#relative(childText(entry, 'Key') ?? ''), size: Number(childText(entry, 'Size')), etag: unquoted(childText(entry, 'ETag') ?? ''),
      modifiedAt: new Date(childText(entry, 'LastModified') ?? 0), contentType: null, metadata: {},
    };
  }

  #relative(encoded: string): string {
    return decodeURIComponent(encoded.replaceAll('+', ' ')).slice(this.#prefix.length);
  }

  #sourceOf(key: string): string {
    return `/${this.#connection.bucket}/${encodeKey(this.#prefix + key)}`;
  }
}

function rangeHeader(range: ByteRange | undefined): Record<string, string> {
  return range === undefined ? {} : { range: `bytes=${range.first}-${range.last}` };
}

/** Metadata may be any text; headers may not. */
function objectHeaders({ contentType, metadata = {}, etag }: PutOptions): Record<string, string> {
  const all = etag === undefined ? metadata : { ...metadata, [ETAG]: etag };
  return { ...(contentType === undefined ? {} : { 'content-type': contentType }), ...Object.fromEntries(Object.entries(all).map(([name, value]) => [`x-amz-meta-${name}`, encodeStrict(value)])) };
}

function infoOf(key: string, size: number, { headers }: S3Reply): BlobInfo {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) if (name.startsWith('x-amz-meta-')) metadata[name.slice('x-amz-meta-'.length)] = decoded(String(value));
  const { [ETAG]: etag = unquoted(headers.etag), ...rest } = metadata;
  return { key, size, etag, modifiedAt: new Date(headers['last-modified'] ?? 0), contentType: headers['content-type'] ?? null, metadata: rest };
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // written by someone else
  }
}

function unquoted(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '');
}

function missing(reply: S3Reply): null {
  reply.stream.resume();
  return null;
}

function exists(key: string): BlobError {
  return new BlobError('BLOB_EXISTS', `There is a blob ${key}`);
}

function copyRanges(size: number): readonly (ByteRange | null)[] {
  if (size <= MAX_COPY_BYTES) return [null];
  const count = Math.ceil(size / COPY_RANGE_BYTES);
  return Array.from({ length: count }, (_, index) => ({ first: index * COPY_RANGE_BYTES, last: Math.min((index + 1) * COPY_RANGE_BYTES, size) - 1 }));
}

/** The content in buffers of the size of a part; the last may be smaller. */
async function* partsOf(body: Readable): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer | string>) {
    let rest = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    while (bytes + rest.length >= PART_BYTES) {
      const taken = rest.subarray(0, PART_BYTES - bytes);
      yield Buffer.concat([...waiting, taken]);
      rest = rest.subarray(taken.length);
      [waiting, bytes] = [[], 0];
    }
    if (rest.length === 0) continue;
    waiting.push(rest);
    bytes += rest.length;
  }
  if (bytes > 0) yield waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting);
}

async function* verified(body: Readable, wanted: string): AsyncGenerator<Buffer> {
  const md5 = createHash('md5');
  for await (const chunk of body as AsyncIterable<Buffer>) {
    md5.update(chunk);
    yield chunk;
  }
  const digest = md5.digest('hex');
  if (digest !== wanted) throw new BlobError('BAD_DIGEST', `The md5 of the content is ${digest} and not ${wanted}`);
}

async function* prepended<T>(first: readonly T[], rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* rest;
}
