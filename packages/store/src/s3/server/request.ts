import type { IncomingMessage } from 'node:http';
import { BlobError, checkKey, MAX_KEY_BYTES } from '../../blobs/blobs.ts';
import { S3Error } from './errors.ts';

/** A request read once: where it points and what it carries. */
export interface S3Request {
  readonly raw: IncomingMessage;
  readonly method: string;
  /** Null: the service itself. */
  readonly bucket: string | null;
  /** Empty: the bucket itself. */
  readonly key: string;
  /** Path as sent, percent-encoding undone. */
  readonly path: string;
  readonly query: readonly (readonly [name: string, value: string])[];
}

/** @param bucketOfHost bucket that the host names (virtual-host style), null: it is in the path @throws S3Error */
export function readRequest(raw: IncomingMessage, bucketOfHost: string | null): S3Request {
  const url = raw.url ?? '';
  const mark = url.indexOf('?');
  const path = decodePath(mark < 0 ? url : url.slice(0, mark));
  const query = mark < 0 ? [] : readQuery(url.slice(mark + 1));
  const slash = path.indexOf('/', 1);
  const [bucket, key] = bucketOfHost !== null ? [bucketOfHost, path.slice(1)] : slash < 0 ? [path.slice(1), ''] : [path.slice(1, slash), path.slice(slash + 1)];
  return { raw, method: raw.method ?? '', bucket: bucket === '' ? null : bucket, key: key === '' ? '' : validKey(key), path, query };
}

export function param(request: S3Request, name: string): string | null {
  return request.query.find(([each]) => each === name)?.[1] ?? null;
}

/** Null when absent. Of a header that came twice the first counts. */
export function header(request: S3Request, name: string): string | null {
  const value = request.raw.headers[name];
  const first = Array.isArray(value) ? value[0] : value;
  // Node reads headers as latin1; clients send UTF-8 where they send more than ASCII.
  return first === undefined ? null : Buffer.from(first, 'latin1').toString('utf8');
}

/** @throws S3Error when it is longer than S3 allows or is no text */
export function validKey(key: string): string {
  try {
    checkKey(key);
    return key;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new S3Error('KeyTooLongError', undefined, { Size: Buffer.byteLength(key), MaxSizeAllowed: MAX_KEY_BYTES });
    throw new S3Error('InvalidArgument', error.message);
  }
}

export function wholeNumber(text: string | null, name: string, from: number, to: number, fallback: number): number {
  if (text === null || text === '') return fallback;
  const number = Number(text);
  if (!/^\d{1,15}$/.test(text) || number < from || number > to) throw new S3Error('InvalidArgument', `${name} must be an integer between ${from} and ${to}`, { ArgumentName: name, ArgumentValue: text.slice(0, 100) });
  return number;
}

function decodePath(path: string): string {
  if (!path.startsWith('/')) throw new S3Error('InvalidURI');
  return decodePercent(path);
}

function readQuery(query: string): [string, string][] {
  return query.split('&').filter(Boolean).map((pair) => {
    const equals = pair.indexOf('=');
    const [name, value] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
    return [decodePercent(name.replaceAll('+', ' ')), decodePercent(value.replaceAll('+', ' '))];
  });
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error('InvalidURI');
  }
}
