import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { paced } from '../../paced.ts';
import { type Checksum, CHECKSUMS } from './checksums.ts';
import { readChunked, type Trailers } from './chunked.ts';
import { S3Error } from './errors.ts';
import { header, type S3Request } from './request.ts';
import type { Authenticated } from './signature.ts';

/** wire: 5 GiB in one request; more takes parts. */
const MAX_UPLOAD_BYTES = 5 * 1024 ** 3;
/** Lists of 10,000 parts or 1,000 keys. */
const MAX_DOCUMENT_BYTES = 4 * 1024 ** 2;
/** A client that sends nothing for so long is gone; S3 waits about as long. */
const IDLE_MS = 60_000;

/** What came with an upload: its bytes, and what the client says they add up to. */
export interface Upload {
  /** Fails with an S3Error at the end when the bytes are not those that were promised. */
  readonly stream: Readable;
  /** Of the content, without the framing of chunks. */
  readonly size: number;
  /** `crc32` etc. → base64, checked; complete when the stream has ended. */
  readonly checksums: Readonly<Record<string, string>>;
  /** Content-MD5 in hex, not checked here: whoever stores the bytes sums them up anyway. */
  readonly md5: string | undefined;
}

/** @param checksumsOf `object`: a checksum among the headers is that of an object, which this body only talks of @throws S3Error for what headers alone tell: nothing has been read then */
export function openUpload(request: S3Request, authenticated: Authenticated, checksumsOf: 'body' | 'object' = 'body'): Upload {
  const { payloadHash } = authenticated;
  const chunked = payloadHash.startsWith('STREAMING-');
  if (!chunked && payloadHash !== 'UNSIGNED-PAYLOAD' && !/^[0-9a-f]{64}$/.test(payloadHash)) throw new S3Error('InvalidArgument', 'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD or a valid sha256 value.');
  if (chunked && !['STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'].includes(payloadHash)) throw new S3Error('NotImplemented', `${payloadHash.slice(0, 100)} is not supported`);
  const size = lengthOf(header(request, chunked ? 'x-amz-decoded-content-length' : 'content-length'));
  if (size > MAX_UPLOAD_BYTES) throw new S3Error('EntityTooLarge', undefined, { ProposedSize: size, MaxSizeAllowed: MAX_UPLOAD_BYTES });
  const checksums = checksumsOf === 'body' ? announcedChecksums(request) : {};
  const md5 = announcedMd5(request);
  const trailers: Trailers = new Map();
  const awaited = chunked && payloadHash.endsWith('-TRAILER') ? (header(request, 'x-amz-trailer') ?? '').toLowerCase().split(',').map((name) => name.trim()).filter(Boolean) : [];
  const inTrailer = awaited.map(algorithmOf);
  request.raw.setTimeout(IDLE_MS, () => request.raw.destroy(new S3Error('IncompleteBody')));

  async function* verified(): AsyncGenerator<Buffer> {
    const sums = new Map<string, Checksum>();
    for (const name of [...Object.keys(checksums), ...inTrailer]) sums.set(name, CHECKSUMS[name]!());
    const sha256 = /^[0-9a-f]{64}$/.test(payloadHash) ? createHash('sha256') : null;
    let received = 0;
    // Without this, leaving the loop would cut the connection before the error is told.
    const incoming = paced(request.raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>);
    const source = chunked ? readChunked(incoming, payloadHash.startsWith('STREAMING-AWS4') ? authenticated.chain : null, payloadHash.endsWith('-TRAILER'), trailers) : incoming;
    for await (const bytes of source) {
      received += bytes.length;
      if (received > size) throw new S3Error('IncompleteBody', 'The request has more bytes than it announced.');
      for (const sum of sums.values()) sum.update(bytes);
      sha256?.update(bytes);
      yield bytes;
    }
    if (received !== size) throw new S3Error('IncompleteBody');
    if (sha256 !== null && sha256.digest('hex') !== payloadHash) throw new S3Error('XAmzContentSHA256Mismatch');
    for (const name of awaited) {
      const value = trailers.get(name);
      if (value === undefined) throw new S3Error('MalformedTrailerError');
      checksums[algorithmOf(name)] = validChecksum(algorithmOf(name), value);
    }
    for (const [name, sum] of sums) {
      if (sum.digest().toString('base64') !== checksums[name]) throw new S3Error('BadDigest', `The ${name.toUpperCase()} you specified did not match the calculated checksum.`);
    }
  }
  return { stream: Readable.from(verified(), { objectMode: false }), size, checksums, md5 };
}

/** A small body as text. @throws S3Error */
export async function readDocument(request: S3Request, authenticated: Authenticated, checksumsOf: 'body' | 'object' = 'body'): Promise<string> {
  const { stream, size, md5 } = openUpload(request, authenticated, checksumsOf);
  if (size > MAX_DOCUMENT_BYTES) throw new S3Error('MaxMessageLengthExceeded', undefined, { MaxMessageLengthBytes: MAX_DOCUMENT_BYTES });
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (md5 !== undefined && createHash('md5').update(bytes).digest('hex') !== md5) throw new S3Error('BadDigest');
  return bytes.toString('utf8');
}

function lengthOf(text: string | null): number {
  if (text === null) throw new S3Error('MissingContentLength');
  if (!/^\d{1,15}$/.test(text)) throw new S3Error('InvalidArgument', 'The length of the content is not a number');
  return Number(text);
}

function announcedChecksums(request: S3Request): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of Object.keys(CHECKSUMS)) {
    const value = header(request, `x-amz-checksum-${name}`);
    if (value !== null) found[name] = validChecksum(name, value);
  }
  if (Object.keys(found).length > 1) throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.');
  return found;
}

function announcedMd5(request: S3Request): string | undefined {
  const value = header(request, 'content-md5');
  if (value !== null && !/^[A-Za-z0-9+/]{22}==$/.test(value)) throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.');
  return value === null ? undefined : Buffer.from(value, 'base64').toString('hex');
}

function algorithmOf(trailer: string): string {
  const name = trailer.replace('x-amz-checksum-', '');
  if (!trailer.startsWith('x-amz-checksum-') || !Object.hasOwn(CHECKSUMS, name)) throw new S3Error('InvalidRequest', 'The value specified in the x-amz-trailer header is not supported');
  return name;
}

function validChecksum(name: string, value: string): string {
  const bytes = { crc32: 4, crc32c: 4, crc64nvme: 8, sha1: 20, sha256: 32 }[name];
  if (Buffer.from(value, 'base64').length !== bytes) throw new S3Error('InvalidRequest', `Value for x-amz-checksum-${name} header is invalid.`);
  return value;
}
