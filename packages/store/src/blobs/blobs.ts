import type { Readable } from 'node:stream';

/**
 * A flat store of blobs under keys (well-formed Unicode without U+0000, 1 to 1024 bytes of UTF-8; `/` separates and may come twice or last,
 * as S3 clients use it). Drivers: a directory, S3. A blob is there whole or not at all, also after a crash; the last finished write wins; a
 * write that returned is on stable storage. Keys that break the rule are a BlobError INVALID_KEY.
 */
export interface Blobs {
  /** Stores what the stream yields once it ends; a stream that fails stores nothing and its error is thrown. */
  put(key: string, body: Readable, options?: PutOptions): Promise<BlobInfo>;
  /**
   * @param range inclusive byte positions, already checked against the size by the caller
   * @returns null: there is none. The body must be read or destroyed; it yields the content of this moment whatever happens to the key.
   */
  get(key: string, range?: ByteRange): Promise<{ readonly info: BlobInfo; readonly body: Readable } | null>;
  head(key: string): Promise<BlobInfo | null>;
  /** Idempotent. */
  remove(key: string): Promise<void>;
  /** In the order of the keys' UTF-8 bytes. */
  list(prefix: string, options: ListOptions): Promise<BlobPage>;
  /** Makes `key` of the parts' bytes in order, without copying them where the driver can, and removes the parts. A missing part is a BlobError NO_SUCH_BLOB, too many of them TOO_MANY_PIECES. */
  compose(key: string, parts: readonly string[], options?: PutOptions): Promise<BlobInfo>;
  /** Like `compose` of one part that stays. Content type and metadata are the source's unless given. */
  copy(from: string, to: string, options?: PutOptions): Promise<BlobInfo>;
}

export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

export interface PutOptions {
  readonly contentType?: string;
  /** Small texts kept with the blob (S3's user metadata). */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Overrides the computed one: multipart objects have an ETag of their own kind. */
  readonly etag?: string;
  /** What the content's md5 must be, in hex: another is a BlobError BAD_DIGEST and nothing is stored. The directory's driver needs it for the ETag anyway. */
  readonly md5?: string;
  /** Of the whole content, in hex, by a caller that knows it: an S3 store checks it and is sent no md5, which takes a processor four times as long. */
  readonly sha256?: string;
  /** Refuses with BlobError BLOB_EXISTS when the key has a blob; of two at once one wins. */
  readonly ifAbsent?: boolean;
}

export interface BlobInfo {
  readonly key: string;
  readonly size: number;
  /** Without quotes; md5 in hex unless given. */
  readonly etag: string;
  readonly modifiedAt: Date;
  readonly contentType: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ListOptions {
  /** Keys after this one only. */
  readonly after?: string;
  /** Blobs and prefixes together. */
  readonly limit: number;
  /** Keys that hold it after the prefix are folded into one entry of `prefixes`. */
  readonly delimiter?: string;
}

export interface BlobPage {
  readonly blobs: readonly BlobInfo[];
  readonly prefixes: readonly string[];
  /** To go on with as `after`; null at the end. */
  readonly next: string | null;
}

export type BlobErrorCode = 'INVALID_KEY' | 'NO_SUCH_BLOB' | 'BLOB_EXISTS' | 'BAD_DIGEST' | 'TOO_MANY_PIECES' | 'STORE_FULL' | 'STORE_FAILED';

export class BlobError extends Error {
  readonly code: BlobErrorCode;
  constructor(code: BlobErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export const MAX_KEY_BYTES = 1024;

/** @throws BlobError INVALID_KEY */
export function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes === 0 || bytes > MAX_KEY_BYTES) throw new BlobError('INVALID_KEY', `A key has 1 to ${MAX_KEY_BYTES} bytes, this one ${bytes}`);
  if (!key.isWellFormed() || key.includes('\0')) throw new BlobError('INVALID_KEY', 'A key is well-formed Unicode without U+0000');
}
