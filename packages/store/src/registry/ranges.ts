import type { ByteRange } from '../blobs/blobs.ts';

/**
 * RFC 9110 `Range` of a GET. Several ranges, other units and nonsense count as none, as the RFC allows.
 * @returns null: the whole; 'unsatisfiable': 416
 */
export function parseRange(header: string | undefined, size: number): ByteRange | null | 'unsatisfiable' {
  const match = header === undefined ? null : /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim());
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 };
  }
  const first = Number(match[1]);
  const last = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== '' && Number(match[2]) < first) return null;
  return first >= size ? 'unsatisfiable' : { first, last };
}

/** The specification's `Content-Range` of a chunk: `<first>-<last>`, also as `bytes <first>-<last>/<anything>`. @returns null: none or nonsense */
export function parseChunkRange(header: string): ByteRange | null {
  const match = /^(?:bytes[ =])?\s*(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/.exec(header.trim());
  if (!match) return null;
  const [first, last] = [Number(match[1]), Number(match[2])];
  return last < first ? null : { first, last };
}
