import type { BlobInfo, PutOptions } from '../../blobs/blobs.ts';
import { S3Error } from './errors.ts';
import { header, param, type S3Request } from './request.ts';
import { httpDate } from './service.ts';

/** wire: user metadata, names and values together. */
const MAX_METADATA_BYTES = 2048;
const USER_METADATA = 'x-amz-meta-';
/** Kept with the object and given back; in its metadata under a name that no user metadata can have. */
const KEPT = ['cache-control', 'content-disposition', 'content-encoding', 'content-language', 'expires'] as const;
const CHECKSUM = ':checksum-';

/** What an upload says about its object. @throws S3Error */
export function objectOptions(request: S3Request, checksums: Readonly<Record<string, string>> = {}): PutOptions & { readonly metadata: Record<string, string> } {
  const metadata: Record<string, string> = {};
  let bytes = 0;
  for (const name of Object.keys(request.raw.headers)) {
    if (!name.startsWith(USER_METADATA)) continue;
    const value = header(request, name) ?? '';
    metadata[name.slice(USER_METADATA.length)] = value;
    bytes += name.length - USER_METADATA.length + Buffer.byteLength(value);
  }
  for (const name of KEPT) {
    const value = name === 'content-encoding' ? withoutChunked(header(request, name)) : header(request, name);
    if (value === null) continue;
    metadata[`:${name}`] = value;
    bytes += Buffer.byteLength(value);
  }
  if (bytes > MAX_METADATA_BYTES) throw new S3Error('MetadataTooLarge', undefined, { Size: bytes, MaxSizeAllowed: MAX_METADATA_BYTES });
  for (const [name, value] of Object.entries(checksums)) metadata[CHECKSUM + name] = value;
  return { contentType: header(request, 'content-type') ?? undefined, metadata };
}

/** Headers of an object. @param whole false: a part of it, for which checksums of the whole say nothing */
export function objectHeaders(request: S3Request, info: BlobInfo, whole: boolean): Record<string, string> {
  const headers: Record<string, string> = {
    etag: `"${info.etag}"`, 'last-modified': httpDate(info.modifiedAt), 'content-type': info.contentType ?? 'binary/octet-stream', 'accept-ranges': 'bytes',
  };
  const wantsChecksum = whole && header(request, 'x-amz-checksum-mode')?.toUpperCase() === 'ENABLED';
  for (const [name, value] of Object.entries(info.metadata)) {
    if (name.startsWith(CHECKSUM)) {
      if (wantsChecksum) headers[`x-amz-checksum-${name.slice(CHECKSUM.length)}`] = value;
    } else if (!name.startsWith(':')) {
      // Blobs that did not come through S3 may have names that no header can have.
      if (/^[\w.!#$%&'*+^`|~-]+$/.test(name)) headers[USER_METADATA + name] = value;
    } else if (KEPT.some((kept) => name === `:${kept}`)) headers[name.slice(1)] = value;
  }
  for (const name of ['content-type', ...KEPT]) {
    const override = param(request, `response-${name}`);
    if (override !== null) headers[name] = override;
  }
  for (const [name, value] of Object.entries(headers)) headers[name] = headerText(value);
  // Whatever was uploaded, a browser that opens it here must not run it as a page of this origin.
  headers['content-security-policy'] = "default-src 'none'; sandbox";
  headers['x-content-type-options'] = 'nosniff';
  return headers;
}

/** Headers that promise what this store does not do are refused: silence would be taken for a yes. @throws S3Error */
export function refuseUnsupported(request: S3Request): void {
  const names = Object.keys(request.raw.headers);
  const promise = names.find((name) => /^x-amz-(server-side-encryption|object-lock|tagging|website-redirect|grant|write-offset)/.test(name));
  if (promise !== undefined) throw new S3Error('NotImplemented', undefined, { Header: promise });
  const acl = header(request, 'x-amz-acl');
  if (acl !== null && acl !== 'private' && acl !== 'bucket-owner-full-control') throw new S3Error('AccessControlListNotSupported');
}

function withoutChunked(encoding: string | null): string | null {
  const rest = (encoding ?? '').split(',').map((each) => each.trim()).filter((each) => each !== '' && each !== 'aws-chunked');
  return rest.length === 0 ? null : rest.join(', ');
}

/** UTF-8 as the bytes of a header; what no header may hold becomes a question mark. */
function headerText(value: string): string {
  return Buffer.from(value, 'utf8').toString('latin1').replace(/[^\t\x20-\x7e\x80-\xff]/g, '?');
}
