import type { BlobInfo, ByteRange } from '../../blobs/blobs.ts';
import { S3Error } from './errors.ts';
import { header, type S3Request } from './request.ts';

/** Conditional headers, in S3's order of precedence. @param prefix `x-amz-copy-source-` for the source of a copy @throws S3Error PreconditionFailed or NotModified */
export function checkConditions(request: S3Request, info: BlobInfo, prefix: '' | 'x-amz-copy-source-' = ''): void {
  const [match, noneMatch] = [header(request, `${prefix}if-match`), header(request, `${prefix}if-none-match`)];
  const [unmodifiedSince, modifiedSince] = [dateOf(header(request, `${prefix}if-unmodified-since`)), dateOf(header(request, `${prefix}if-modified-since`))];
  // HTTP dates have whole seconds.
  const modifiedAt = Math.floor(info.modifiedAt.getTime() / 1000) * 1000;
  const failed = (condition: string) => new S3Error('PreconditionFailed', undefined, { Condition: condition });
  if (match !== null && !matches(match, info.etag)) throw failed('If-Match');
  if (match === null && unmodifiedSince !== null && modifiedAt > unmodifiedSince) throw failed('If-Unmodified-Since');
  const unchanged = noneMatch !== null ? matches(noneMatch, info.etag) : modifiedSince !== null && modifiedAt <= modifiedSince;
  if (unchanged) throw prefix === '' ? new S3Error('NotModified') : failed(noneMatch !== null ? 'If-None-Match' : 'If-Modified-Since');
}

/** @returns null: the whole blob. What is no range, or several, counts as none. @throws S3Error InvalidRange */
export function rangeOf(text: string | null, size: number): ByteRange | null {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text?.replaceAll(' ', '') ?? '') ?? [];
  if (from === '' && to === '') return null;
  if (from !== '' && to !== '' && Number(to) < Number(from)) return null;
  const first = from === '' ? Math.max(size - Number(to), 0) : Number(from);
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (first > last || (from === '' && to === '0')) throw new S3Error('InvalidRange', undefined, { RangeRequested: text!, ActualObjectSize: size });
  return { first, last };
}

function matches(list: string, etag: string): boolean {
  return list.split(',').some((each) => ['*', etag].includes(each.trim().replace(/^W\//, '').replaceAll('"', '')));
}

function dateOf(text: string | null): number | null {
  const time = text === null ? NaN : Date.parse(text);
  return Number.isNaN(time) ? null : time;
}
