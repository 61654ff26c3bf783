import type { BlobInfo, BlobPage } from '../../blobs/blobs.ts';
import { encodeKey } from '../encoding.ts';
import { S3Error } from './errors.ts';
import { param, wholeNumber } from './request.ts';
import { type Exchange, isoDate, sendXml, UPLOADS } from './service.ts';

const MAX_KEYS = 1000;
/** Whoever holds credentials is one owner to S3's eyes. */
export const OWNER = { ID: 'paddock', DisplayName: 'paddock' };

/** ListObjectsV2 and, for old clients, ListObjects. */
export async function listObjects(exchange: Exchange): Promise<void> {
  const { request, bucket } = exchange;
  const second = param(request, 'list-type') === '2';
  const prefix = param(request, 'prefix') ?? '';
  const delimiter = param(request, 'delimiter') ?? '';
  const limit = Math.min(wholeNumber(param(request, 'max-keys'), 'maxKeys', 0, 2_147_483_647, MAX_KEYS), MAX_KEYS);
  const token = param(request, 'continuation-token');
  const [startAfter, marker] = [param(request, 'start-after') ?? '', param(request, 'marker') ?? ''];
  const after = second ? (token === null ? startAfter : readToken(token)) : marker;
  const page = await list(exchange, prefix, { after, delimiter, limit });
  const encode = encoding(exchange);
  const truncated = page.next !== null;
  sendXml(exchange, 'ListBucketResult', {
    Name: bucket, Prefix: encode(prefix), Delimiter: delimiter === '' ? null : encode(delimiter), MaxKeys: limit, IsTruncated: truncated,
    EncodingType: param(request, 'encoding-type'),
    ...(second
      ? { KeyCount: page.blobs.length + page.prefixes.length, ContinuationToken: token, StartAfter: startAfter === '' ? null : encode(startAfter), NextContinuationToken: truncated ? makeToken(page.next!) : null }
      : { Marker: encode(marker), NextMarker: truncated ? encode(page.next!) : null }),
    Contents: page.blobs.map((blob) => contents(blob, encode, !second || param(request, 'fetch-owner') === 'true')),
    CommonPrefixes: page.prefixes.map((each) => ({ Prefix: encode(each) })),
  });
}

/** @returns how keys are written in the reply: as they are, or percent-encoded when the client asks @throws S3Error */
export function encoding({ request }: Exchange): (key: string) => string {
  const type = param(request, 'encoding-type');
  if (type !== null && type !== 'url') throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request', { ArgumentName: 'encoding-type', ArgumentValue: type.slice(0, 100) });
  return type === null ? (key) => key : encodeKey;
}

/**
 * One's own keys only. A prefix that is shorter than what the credentials open sees those too: s3fs lists the whole bucket to find out whether
 * its keys are right, and the policy of other servers allows the prefix without its last slash.
 */
async function list({ authenticated: { grant }, blobs }: Exchange, prefix: string, { after, delimiter, limit }: { after: string; delimiter: string; limit: number }): Promise<BlobPage> {
  const inside = prefix.startsWith(grant.prefix);
  if (!grant.actions.has('list') || !(inside || grant.prefix.startsWith(prefix)) || prefix.startsWith(UPLOADS)) throw new S3Error('AccessDenied');
  if (inside) return withoutUploads(await blobs.list(prefix, { after, limit, delimiter }));
  const at = delimiter === '' ? -1 : grant.prefix.indexOf(delimiter, prefix.length);
  if (at < 0) return blobs.list(grant.prefix, { after, limit, delimiter });
  const folded = grant.prefix.slice(0, at + delimiter.length);
  const { blobs: [any] } = await blobs.list(grant.prefix, { limit: 1 });
  return { blobs: [], prefixes: any && limit > 0 && after < folded ? [folded] : [], next: null };
}

function withoutUploads(page: BlobPage): BlobPage {
  const visible = (key: string) => !key.startsWith(UPLOADS);
  return { ...page, blobs: page.blobs.filter(({ key }) => visible(key)), prefixes: page.prefixes.filter(visible) };
}

function contents(blob: BlobInfo, encode: (key: string) => string, owner: boolean) {
  return { Key: encode(blob.key), LastModified: isoDate(blob.modifiedAt), ETag: `"${blob.etag}"`, Size: blob.size, StorageClass: 'STANDARD', ...(owner ? { Owner: OWNER } : {}) };
}

/** Opaque to clients: the last key or prefix of the page. */
function makeToken(key: string): string {
  return Buffer.from(key).toString('base64url');
}

function readToken(token: string): string {
  const key = Buffer.from(token, 'base64url').toString();
  if (token === '' || makeToken(key) !== token) throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', { ArgumentName: 'continuation-token' });
  return key;
}
