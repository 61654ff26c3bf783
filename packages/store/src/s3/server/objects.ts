import { pipeline } from 'node:stream/promises';
import { BlobError, type BlobInfo, type Blobs, type ByteRange } from '../../blobs/blobs.ts';
import { paced } from '../../paced.ts';
import { pooled } from '../../pooled.ts';
import { openUpload, readDocument } from './body.ts';
import { checkConditions, rangeOf } from './conditions.ts';
import { givenEtag } from '../given-etag.ts';
import { S3Error } from './errors.ts';
import { objectHeaders, objectOptions, refuseUnsupported } from './headers.ts';
import { header, param, type S3Request, validKey } from './request.ts';
import { demand, type Exchange, isoDate, refuseVersions, sendEmpty, sendXml } from './service.ts';
import { childText, parseXml } from '../xml.ts';

/** An object replaced between looking and opening is looked at again. */
const ATTEMPTS = 10;
/** wire */
const MAX_DELETES = 1000;
const DELETES_AT_ONCE = 16;
/** A reader that takes nothing for so long is gone. Mounted volumes read ahead and then pause. */
const READ_IDLE_MS = 10 * 60_000;

/** GetObject, HeadObject. */
export async function getObject(exchange: Exchange): Promise<void> {
  const { request, res, blobs } = exchange;
  demand(exchange, 'read', request.key);
  refuseVersions(exchange);
  if (param(request, 'partNumber') !== null) throw new S3Error('NotImplemented', 'Objects are given out whole or by ranges, not by part numbers.');
  const { info, range, body } = await openObject(blobs, request.key, request.method === 'HEAD', (found) => {
    checkConditions(request, found);
    return ifRange(request, found) ? rangeOf(header(request, 'range'), found.size) : null;
  });
  const headers = objectHeaders(request, info, range === null);
  headers['content-length'] = String(range === null ? info.size : range.last - range.first + 1);
  if (range !== null) headers['content-range'] = `bytes ${range.first}-${range.last}/${info.size}`;
  res.writeHead(range === null ? 200 : 206, headers);
  if (body === null) return void res.end();
  res.setTimeout(READ_IDLE_MS, () => res.destroy());
  await pipeline(body, paced, res);
}

/** PutObject. */
export async function putObject(exchange: Exchange): Promise<void> {
  const { request, blobs, authenticated } = exchange;
  demand(exchange, 'write', request.key);
  refuseUnsupported(request);
  const ifAbsent = ifNoneMatch(request);
  const upload = openUpload(request, authenticated);
  const options = objectOptions(request, upload.checksums);
  if (ifAbsent && (await blobs.head(request.key))) throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-None-Match' });
  exchange.continueBody();
  const etag = givenEtag(options.metadata);
  const info = await blobs.put(request.key, upload.stream, { ...options, ifAbsent, md5: upload.md5, ...(etag === undefined ? {} : { etag }) });
  sendEmpty(exchange, 200, { etag: `"${info.etag}"`, ...checksumHeaders(upload.checksums) });
}

/** CopyObject. */
export async function copyObject(exchange: Exchange): Promise<void> {
  const { request, blobs } = exchange;
  demand(exchange, 'write', request.key);
  refuseUnsupported(request);
  const from = copySource(exchange);
  const directive = header(request, 'x-amz-metadata-directive') ?? 'COPY';
  if (directive !== 'COPY' && directive !== 'REPLACE') throw new S3Error('InvalidArgument', 'Unknown metadata directive.');
  if (directive === 'COPY' && from === request.key) throw new S3Error('InvalidRequest', 'This copy request is illegal because it is trying to copy an object to itself without changing the object\'s metadata, storage class, website redirect location or encryption attributes.');
  const source = await blobs.head(from);
  if (source === null) throw new S3Error('NoSuchKey', undefined, { Key: from });
  checkConditions(request, source, 'x-amz-copy-source-');
  const replaced = directive === 'REPLACE' ? objectOptions(request) : {};
  exchange.continueBody();
  const info = await orNoSuchKey(from, blobs.copy(from, request.key, { ...replaced, ifAbsent: ifNoneMatch(request) }));
  sendXml(exchange, 'CopyObjectResult', { LastModified: isoDate(info.modifiedAt), ETag: `"${info.etag}"` });
}

/** DeleteObject. */
export async function deleteObject(exchange: Exchange): Promise<void> {
  demand(exchange, 'delete', exchange.request.key);
  refuseVersions(exchange);
  await exchange.blobs.remove(exchange.request.key);
  sendEmpty(exchange, 204);
}

/** DeleteObjects. */
export async function deleteObjects(exchange: Exchange): Promise<void> {
  exchange.continueBody();
  const root = parseXml(await readDocument(exchange.request, exchange.authenticated));
  const objects = root.children.filter(({ name }) => name === 'Object');
  if (root.name !== 'Delete' || objects.length === 0 || objects.length > MAX_DELETES) throw new S3Error('MalformedXML');
  const keys = objects.map((object) => validKey(childText(object, 'Key') ?? ''));
  const quiet = childText(root, 'Quiet')?.trim() === 'true';
  const outcomes = await pooled(keys, DELETES_AT_ONCE, async (key) => {
    try {
      demand(exchange, 'delete', key);
      await exchange.blobs.remove(key);
      return { Key: key };
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      return { Key: key, Code: error.code, Message: error.message };
    }
  });
  const deleted = quiet ? [] : outcomes.filter((outcome) => !('Code' in outcome));
  const errors = outcomes.filter((outcome) => 'Code' in outcome);
  sendXml(exchange, 'DeleteResult', { Deleted: deleted, Error: errors });
}

/** Key that x-amz-copy-source names, which the credentials must open. @throws S3Error */
export function copySource(exchange: Exchange): string {
  const text = header(exchange.request, 'x-amz-copy-source') ?? '';
  const [path = '', version] = text.split('?versionId=');
  let source: string;
  try {
    source = decodeURIComponent(path).replace(/^\//, '');
  } catch {
    throw new S3Error('InvalidArgument', 'Invalid copy source encoding.');
  }
  if (version !== undefined && version !== 'null') throw new S3Error('NotImplemented', 'This store keeps no versions.');
  const slash = source.indexOf('/');
  if (slash < 1 || slash === source.length - 1) throw new S3Error('InvalidArgument', 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey');
  if (source.slice(0, slash) !== exchange.bucket) throw new S3Error('NoSuchBucket', undefined, { BucketName: source.slice(0, slash) });
  const key = validKey(source.slice(slash + 1));
  demand(exchange, 'read', key);
  return key;
}

export function checksumHeaders(checksums: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(checksums).map(([name, value]) => [`x-amz-checksum-${name}`, value]));
}

/** @returns true for `*`, the one form that makes sense for writing @throws S3Error */
export function ifNoneMatch(request: S3Request): boolean {
  const condition = header(request, 'if-none-match');
  if (header(request, 'if-match') !== null || (condition !== null && condition.trim() !== '*')) throw new S3Error('NotImplemented', 'Writing knows one condition, If-None-Match: *');
  return condition !== null;
}

export async function orNoSuchKey<T>(key: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof BlobError && error.code === 'NO_SUCH_BLOB' ? new S3Error('NoSuchKey', undefined, { Key: key }) : error;
  }
}

/** Decides by what the object is, and opens that same object. */
async function openObject(blobs: Blobs, key: string, headOnly: boolean, decide: (info: BlobInfo) => ByteRange | null): Promise<{ info: BlobInfo; range: ByteRange | null; body: NonNullable<Awaited<ReturnType<Blobs['get']>>>['body'] | null }> {
  for (let attempt = 1; ; attempt++) {
    const seen = await blobs.head(key);
    if (seen === null) throw new S3Error('NoSuchKey', undefined, { Key: key });
    const range = decide(seen);
    if (headOnly) return { info: seen, range, body: null };
    const opened = await blobs.get(key, range ?? undefined);
    if (opened === null) continue;
    const same = opened.info.size === seen.size && opened.info.etag === seen.etag;
    if (same) return { info: opened.info, range, body: opened.body };
    opened.body.on('error', () => undefined).destroy();
    if (attempt === ATTEMPTS) throw new S3Error('PreconditionFailed', 'The object changes too quickly to be read.');
  }
}

/** A range of an object that is no longer the one the client began with would be mixed up with it. */
function ifRange(request: S3Request, info: BlobInfo): boolean {
  const condition = header(request, 'if-range');
  if (condition === null) return true;
  return condition.startsWith('"') ? condition === `"${info.etag}"` : Date.parse(condition) >= Math.floor(info.modifiedAt.getTime() / 1000) * 1000;
}
