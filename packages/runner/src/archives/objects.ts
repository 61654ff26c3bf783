/** Small helps for reading and writing objects that are checked by digest. */
import { webcrypto } from 'node:crypto';
import type { Blobs } from '@paddock/store';
import { MAX_MANIFEST_BYTES } from './manifest.ts';

/** Hex. In a thread of the pool. */
export async function sha256(data: Buffer): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', data as Uint8Array<ArrayBuffer>)).toString('hex');
}

/** @param memory of at least `limit` bytes, which the result is then part of @returns null: there is none */
export async function readWhole(blobs: Blobs, key: string, limit = MAX_MANIFEST_BYTES, memory?: Buffer): Promise<Buffer | null> {
  const found = await blobs.get(key);
  if (found === null) return null;
  if (found.info.size > limit) {
    found.body.destroy();
    throw new Error(`${key} is larger than ${limit} bytes`);
  }
  const whole = memory?.subarray(0, found.info.size) ?? Buffer.allocUnsafeSlow(found.info.size);
  let filled = 0;
  for await (const chunk of found.body as AsyncIterable<Buffer>) filled += chunk.copy(whole, filled);
  return filled === whole.length ? whole : whole.subarray(0, filled);
}

/**
 * The promise, or a rejection as soon as the signal is aborted, so that nobody has to wait for a store that does not answer. Racing one
 * long-lived promise again and again would keep every result alive as long as that.
 */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

const FINAL = new Set(['STORE_FULL', 'INVALID_KEY', 'NO_SUCH_BLOB', 'BLOB_EXISTS']);

/** Whether an error of the object store may be gone at the next try. */
export function isPassing(error: unknown): boolean {
  return !FINAL.has((error as { code?: string }).code ?? '');
}
