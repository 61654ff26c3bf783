import type { Readable } from 'node:stream';

/**
 * A flat store of blobs under keys (UTF-8, `/` separates, at most 1024 bytes, no `.`/`..`/empty segment). Drivers: a directory, S3.
 * A blob is there whole or not at all, also after a crash; the last finished write wins; a write that returned is on stable storage.
 */
export interface Blobs {
  put(key: string, body: Readable, options?: PutOptions): Promise<BlobInfo>;
  /** @param range inclusive byte positions, already checked against the size by the caller */
  get(key: string, range?: { readonly first: number; readonly last: number }): Promise<{ readonly info: BlobInfo; readonly body: Readable } | null>;
  head(key: string): Promise<BlobInfo | null>;
  /** Idempotent. */
  remove(key: string): Promise<void>;
  /** In the order of the keys' UTF-8 bytes. */
  list(prefix: string, options: ListOptions): Promise<BlobPage>;
  /** Makes `key` of the parts' bytes in order, without copying them where the driver can, and removes the parts. */
  compose(key: string, parts: readonly string[], options?: PutOptions): Promise<BlobInfo>;
}

export interface PutOptions {
  readonly contentType?: string;
  /** Small texts kept with the blob (S3's user metadata). */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Overrides the computed one: multipart objects have an ETag of their own kind. */
  readonly etag?: string;
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
