/** Fetches build contexts: tars at URLs that the control plane gives. What is in them is the build sandbox's business. */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { MakeFailed } from '../images/index.ts';

const MIB = 1024 ** 2;

/**
 * Saves them as `000.tar`, `001.tar` … in the order given. URLs may carry signatures, so no message repeats one.
 * @param maxBytes of all together
 */
export async function fetchContexts(urls: readonly string[], dir: string, maxBytes: number, signal: AbortSignal): Promise<void> {
  let left = maxBytes;
  for (const [index, url] of urls.entries()) {
    const body = await open(url, signal);
    const counted = new Transform({
      transform(chunk: Buffer, _, done) {
        left -= chunk.length;
        if (left < 0) done(new MakeFailed(`The build context is larger than ${Math.floor(maxBytes / MIB)} MiB`));
        else done(null, chunk);
      },
    });
    try {
      await pipeline(body, counted, createWriteStream(join(dir, `${String(index).padStart(3, '0')}.tar`), { mode: 0o644 }), { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof MakeFailed) throw error;
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EDQUOT' || code === 'ENOSPC') throw error;
      throw new MakeFailed('The build context could not be fetched: the connection to the object storage broke', { transient: true, cause: error });
    }
  }
}

async function open(url: string, signal: AbortSignal): Promise<Readable> {
  if (!/^https?:\/\//.test(url)) throw new MakeFailed('A build context has to be an http or https URL');
  let response: Response;
  try {
    response = await fetch(url, { signal, redirect: 'error' });
  } catch (error) {
    signal.throwIfAborted();
    throw new MakeFailed('The build context could not be fetched: the object storage does not answer', { transient: true, cause: error });
  }
  if (response.ok && response.body !== null) return Readable.fromWeb(response.body as ReadableStream);
  await response.body?.cancel();
  if (response.status === 404) throw new MakeFailed('The build context is not in the object storage: upload it again and repeat the request');
  const transient = response.status === 429 || response.status >= 500;
  throw new MakeFailed(`The build context could not be fetched: the object storage answered ${response.status}`, { transient });
}
