/** Small helps for reading and writing objects that are checked by digest. */
import { webcrypto } from 'node:crypto';
import type { Blobs } from '@paddock/store';
import { MAX_MANIFEST_BYTES } from './manifest.ts';

/** Hex. In a thread of the pool. */
export async function sha256(data: Buffer): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', data as Uint8Array<ArrayBuffer>)).toString('hex');
}

/** null: there is none. */
export async function readWhole(blobs: Blobs, key: string, limit = MAX_MANIFEST_BYTES): Promise<Buffer | null> {
  const found = await blobs.get(key);
  if (found === null) return null;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of found.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw new Error(`${key} is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size);
}

/** Rejects when the signal is aborted, so that nobody has to wait for a store that does not answer. */
export function whenAborted(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  aborted.catch(() => {}); // raced against
  return aborted;
}

const FINAL = new Set(['STORE_FULL', 'INVALID_KEY', 'NO_SUCH_BLOB', 'BLOB_EXISTS']);

/** Whether an error of the object store may be gone at the next try. */
export function isPassing(error: unknown): boolean {
  return !FINAL.has((error as { code?: string }).code ?? '');
}
