import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { BlobError, type BlobInfo, type Blobs } from '../../blobs/blobs.ts';
import { composedEtag } from '../../blobs/etag.ts';
import { pooled } from '../../pooled.ts';
import { openUpload, readDocument } from './body.ts';
import { checkConditions, rangeOf } from './conditions.ts';
import { S3Error } from './errors.ts';
import { objectOptions, refuseUnsupported } from './headers.ts';
import { encoding, OWNER } from './listing.ts';
import { checksumHeaders, copySource, ifNoneMatch, orNoSuchKey } from './objects.ts';
import { header, param, type S3Request, wholeNumber } from './request.ts';
import { demand, type Exchange, isoDate, sendEmpty, sendXml, UPLOADS } from './service.ts';
import { childText, parseXml } from '../xml.ts';

/** wire */
const MAX_PARTS = 10_000;
const MIN_PART_BYTES = 5 * 1024 ** 2;
const MAX_LISTED = 1000;
const REMOVED_AT_ONCE = 16;
const UPLOAD_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * An upload is an empty blob `.uploads/<id>/upload`, whose metadata says what will become of it, and its parts `.uploads/<id>/parts/<5 digits>`.
 * Completing composes the parts, which copies nothing.
 */
interface UploadRecord {
  readonly id: string;
  readonly key: string;
  readonly contentType: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly startedAt: Date;
}

const recordKey = (id: string) => `${UPLOADS}${id}/upload`;
const partsPrefix = (id: string) => `${UPLOADS}${id}/parts/`;
const partKey = (id: string, number: number) => partsPrefix(id) + String(number).padStart(5, '0');

/** CreateMultipartUpload. */
export async function createUpload(exchange: Exchange): Promise<void> {
  const { request, bucket, blobs } = exchange;
  demand(exchange, 'write', request.key);
  refuseUnsupported(request);
  const { contentType, metadata } = objectOptions(request);
  const id = randomUUID();
  await blobs.put(recordKey(id), Readable.from([]), { contentType, metadata: { ':key': request.key, ':object': JSON.stringify(metadata) } });
  const algorithm = header(request, 'x-amz-checksum-algorithm');
  sendXml(exchange, 'InitiateMultipartUploadResult', { Bucket: bucket, Key: request.key, UploadId: id }, algorithm === null ? {} : { 'x-amz-checksum-algorithm': algorithm });
}

/** UploadPart. */
export async function putPart(exchange: Exchange): Promise<void> {
  const { request, blobs, authenticated } = exchange;
  const { id } = await findUpload(exchange);
  const number = partNumber(request);
  const upload = openUpload(request, authenticated);
  exchange.continueBody();
  const info = await blobs.put(partKey(id, number), upload.stream, { md5: upload.md5 });
  await keepIfOpen(exchange, id, number);
  sendEmpty(exchange, 200, { etag: `"${info.etag}"`, ...checksumHeaders(upload.checksums) });
}

/** UploadPartCopy. */
export async function copyPart(exchange: Exchange): Promise<void> {
  const { request, blobs } = exchange;
  const { id } = await findUpload(exchange);
  const number = partNumber(request);
  const from = copySource(exchange);
  const source = await blobs.head(from);
  if (source === null) throw new S3Error('NoSuchKey', undefined, { Key: from });
  checkConditions(request, source, 'x-amz-copy-source-');
  const wanted = header(request, 'x-amz-copy-source-range');
  const range = rangeOf(wanted, source.size);
  if (wanted !== null && range === null) throw new S3Error('InvalidArgument', 'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy');
  exchange.continueBody();
  const info = range === null ? await orNoSuchKey(from, blobs.copy(from, partKey(id, number), { metadata: {} })) : await copyRange(blobs, from, partKey(id, number), range);
  await keepIfOpen(exchange, id, number);
  sendXml(exchange, 'CopyPartResult', { LastModified: isoDate(info.modifiedAt), ETag: `"${info.etag}"` });
}

/** CompleteMultipartUpload. Answers again what it answered, when the client did not hear it the first time. */
export async function completeUpload(exchange: Exchange): Promise<void> {
  const { request, blobs, authenticated, bucket } = exchange;
  demand(exchange, 'write', request.key);
  const ifAbsent = ifNoneMatch(request);
  exchange.continueBody();
  const wanted = readParts(await readDocument(request, authenticated, 'object'));
  const etag = composedEtag(wanted.map((part) => part.etag));
  const answer = () => sendXml(exchange, 'CompleteMultipartUploadResult', { Location: `/${bucket}/${request.key}`, Bucket: bucket, Key: request.key, ETag: `"${etag}"` });
  const done = async () => (await blobs.head(request.key))?.etag === etag;
  const id = uploadId(request);
  const record = await readRecord(blobs, id, request.key);
  if (record === null) {
    if (await done()) return answer();
    throw new S3Error('NoSuchUpload');
  }
  const problem = checkParts(wanted, await storedParts(blobs, id));
  if (problem !== null) {
    if (!(await done())) throw problem;
  } else {
    const options = { etag, contentType: record.contentType ?? undefined, metadata: record.metadata, ifAbsent };
    try {
      await blobs.compose(request.key, wanted.map(({ number }) => partKey(id, number)), options);
    } catch (error) {
      if (!(error instanceof BlobError) || error.code !== 'NO_SUCH_BLOB') throw error;
      if (!(await done())) throw new S3Error('NoSuchUpload'); // aborted, or completed with other parts, at the same time
    }
  }
  await removeUpload(blobs, id);
  answer();
}

/** AbortMultipartUpload. */
export async function abortUpload(exchange: Exchange): Promise<void> {
  const { id } = await findUpload(exchange);
  await removeUpload(exchange.blobs, id);
  sendEmpty(exchange, 204);
}

/** ListParts. */
export async function listParts(exchange: Exchange): Promise<void> {
  const { request, bucket, blobs } = exchange;
  const { id } = await findUpload(exchange);
  const limit = Math.min(wholeNumber(param(request, 'max-parts'), 'max-parts', 0, 2_147_483_647, MAX_LISTED), MAX_LISTED);
  const marker = wholeNumber(param(request, 'part-number-marker'), 'part-number-marker', 0, 2_147_483_647, 0);
  const page = await blobs.list(partsPrefix(id), { after: marker === 0 ? undefined : partKey(id, marker), limit });
  const numberOf = (key: string) => Number(key.slice(-5));
  sendXml(exchange, 'ListPartsResult', {
    Bucket: bucket, Key: encoding(exchange)(request.key), UploadId: id, Initiator: OWNER, Owner: OWNER, StorageClass: 'STANDARD', PartNumberMarker: marker,
    NextPartNumberMarker: page.next === null ? null : numberOf(page.next), MaxParts: limit, IsTruncated: page.next !== null,
    Part: page.blobs.map((part) => ({ PartNumber: numberOf(part.key), LastModified: isoDate(part.modifiedAt), ETag: `"${part.etag}"`, Size: part.size })),
  });
}

/** ListMultipartUploads. */
export async function listUploads(exchange: Exchange): Promise<void> {
  const { request, bucket, blobs, authenticated: { grant } } = exchange;
  const prefix = param(request, 'prefix') ?? '';
  if (!grant.actions.has('list') || !(prefix.startsWith(grant.prefix) || grant.prefix.startsWith(prefix))) throw new S3Error('AccessDenied');
  if (param(request, 'delimiter')) throw new S3Error('NotImplemented', 'Uploads are listed without a delimiter.');
  const limit = Math.min(wholeNumber(param(request, 'max-uploads'), 'max-uploads', 0, 2_147_483_647, MAX_LISTED), MAX_LISTED);
  const [keyMarker, idMarker] = [param(request, 'key-marker') ?? '', param(request, 'upload-id-marker') ?? ''];
  const order = (a: UploadRecord, b: UploadRecord) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) || (a.id < b.id ? -1 : 1);
  const start = { key: keyMarker, id: idMarker === '' ? '\uffff' : idMarker } as UploadRecord;
  let found: UploadRecord[] = [];
  for await (const record of allUploads(blobs)) {
    if (!record.key.startsWith(prefix) || !record.key.startsWith(grant.prefix) || (keyMarker !== '' && order(record, start) <= 0)) continue;
    found.push(record);
    if (found.length > 4 * MAX_LISTED) found = found.sort(order).slice(0, limit + 1);
  }
  found = found.sort(order).slice(0, limit + 1);
  const page = found.slice(0, limit);
  const more = found.length > limit && limit > 0;
  const encode = encoding(exchange);
  sendXml(exchange, 'ListMultipartUploadsResult', {
    Bucket: bucket, KeyMarker: encode(keyMarker), UploadIdMarker: idMarker, NextKeyMarker: more ? encode(page.at(-1)!.key) : null, NextUploadIdMarker: more ? page.at(-1)!.id : null,
    Prefix: encode(prefix), EncodingType: param(request, 'encoding-type'), MaxUploads: limit, IsTruncated: more,
    Upload: page.map(({ key, id, startedAt }) => ({ Key: encode(key), UploadId: id, Initiator: OWNER, Owner: OWNER, StorageClass: 'STANDARD', Initiated: isoDate(startedAt) })),
  });
}

/** Removes uploads of which nothing came for so long: their clients are gone. @returns how many */
export async function collectUploads(blobs: Blobs, olderThan: Date): Promise<number> {
  let removed = 0;
  let after: string | undefined;
  for (;;) {
    const page = await blobs.list(UPLOADS, { after, limit: MAX_LISTED, delimiter: '/' });
    for (const prefix of page.prefixes) {
      const id = prefix.slice(UPLOADS.length, -1);
      if ((await lastSignOfLife(blobs, prefix)) >= olderThan.getTime()) continue;
      await removeUpload(blobs, id);
      removed += 1;
    }
    if (page.next === null) return removed;
    after = page.next;
  }
}

async function lastSignOfLife(blobs: Blobs, prefix: string): Promise<number> {
  let latest = 0;
  for await (const { modifiedAt } of all(blobs, prefix)) latest = Math.max(latest, modifiedAt.getTime());
  return latest;
}

async function findUpload(exchange: Exchange): Promise<UploadRecord> {
  const { request, blobs } = exchange;
  demand(exchange, 'write', request.key);
  const record = await readRecord(blobs, uploadId(request), request.key);
  if (record === null) throw new S3Error('NoSuchUpload');
  return record;
}

function uploadId(request: S3Request): string {
  const id = param(request, 'uploadId') ?? '';
  if (!UPLOAD_ID.test(id)) throw new S3Error('NoSuchUpload');
  return id;
}

/** @returns null: there is none of that id for that key */
async function readRecord(blobs: Blobs, id: string, key: string): Promise<UploadRecord | null> {
  const info = await blobs.head(recordKey(id));
  const record = info && toRecord(info);
  return record?.key === key ? record : null;
}

function toRecord({ key, metadata, contentType, modifiedAt }: BlobInfo): UploadRecord {
  return { id: key.slice(UPLOADS.length, UPLOADS.length + 36), key: metadata[':key'] ?? '', contentType, metadata: JSON.parse(metadata[':object'] ?? '{}') as Record<string, string>, startedAt: modifiedAt };
}

async function* allUploads(blobs: Blobs): AsyncGenerator<UploadRecord> {
  let after: string | undefined;
  for (;;) {
    const page = await blobs.list(UPLOADS, { after, limit: MAX_LISTED, delimiter: '/' });
    for (const prefix of page.prefixes) {
      const info = await blobs.head(`${prefix}upload`);
      if (info) yield toRecord(info);
    }
    if (page.next === null) return;
    after = page.next;
  }
}

async function* all(blobs: Blobs, prefix: string): AsyncGenerator<BlobInfo> {
  let after: string | undefined;
  for (;;) {
    const page = await blobs.list(prefix, { after, limit: MAX_LISTED });
    yield* page.blobs;
    if (page.next === null) return;
    after = page.next;
  }
}

async function storedParts(blobs: Blobs, id: string): Promise<ReadonlyMap<number, BlobInfo>> {
  const parts = new Map<number, BlobInfo>();
  for await (const part of all(blobs, partsPrefix(id))) parts.set(Number(part.key.slice(-5)), part);
  return parts;
}

/** The record goes last: until then whoever was interrupted can begin again. */
async function removeUpload(blobs: Blobs, id: string): Promise<void> {
  await pooled([...(await storedParts(blobs, id)).values()], REMOVED_AT_ONCE, ({ key }) => blobs.remove(key));
  await blobs.remove(recordKey(id));
}

/** A part that arrives after the end of its upload belongs to nothing. */
async function keepIfOpen({ blobs }: Exchange, id: string, number: number): Promise<void> {
  if (await blobs.head(recordKey(id))) return;
  await blobs.remove(partKey(id, number));
  throw new S3Error('NoSuchUpload');
}

function partNumber(request: S3Request): number {
  return wholeNumber(param(request, 'partNumber') || 'none', 'partNumber', 1, MAX_PARTS, 0);
}

interface WantedPart {
  readonly number: number;
  readonly etag: string;
}

/** @throws S3Error MalformedXML or InvalidPartOrder */
function readParts(text: string): WantedPart[] {
  const root = parseXml(text);
  const parts = root.children.filter(({ name }) => name === 'Part').map((part) => {
    const number = childText(part, 'PartNumber')?.trim() ?? '';
    const etag = childText(part, 'ETag')?.trim().replaceAll('"', '');
    if (!/^\d{1,5}$/.test(number) || etag === undefined) throw new S3Error('MalformedXML');
    return { number: Number(number), etag };
  });
  if (root.name !== 'CompleteMultipartUpload' || parts.length === 0 || parts.length > MAX_PARTS) throw new S3Error('MalformedXML');
  if (parts.some(({ number }, index) => index > 0 && number <= parts[index - 1]!.number)) throw new S3Error('InvalidPartOrder');
  return parts;
}

function checkParts(wanted: readonly WantedPart[], stored: ReadonlyMap<number, BlobInfo>): S3Error | null {
  for (const [index, { number, etag }] of wanted.entries()) {
    const part = stored.get(number);
    if (part === undefined || part.etag !== etag) return new S3Error('InvalidPart', undefined, { PartNumber: number, ETag: etag });
    if (part.size < MIN_PART_BYTES && index < wanted.length - 1) return new S3Error('EntityTooSmall', undefined, { ProposedSize: part.size, MinSizeAllowed: MIN_PART_BYTES, PartNumber: number, ETag: etag });
  }
  return null;
}

async function copyRange(blobs: Blobs, from: string, to: string, range: { first: number; last: number }): Promise<BlobInfo> {
  const source = await blobs.get(from, range);
  if (source === null) throw new S3Error('NoSuchKey', undefined, { Key: from });
  return blobs.put(to, source.body);
}
