import type { BlobInfo, Blobs } from '../blobs/blobs.ts';
import { nameOfSegment } from './keys.ts';

const PAGE = 1000;

/** Every blob below a prefix, page by page. What is added or removed meanwhile may or may not come. */
export async function* blobsBelow(blobs: Blobs, prefix: string): AsyncGenerator<BlobInfo> {
  let after: string | undefined;
  for (;;) {
    const page = await blobs.list(prefix, { limit: PAGE, ...(after === undefined ? {} : { after }) });
    yield* page.blobs;
    if (page.next === null) return;
    after = page.next;
  }
}

/** The next segment of the keys below a prefix, without the slash. */
export async function* segmentsBelow(blobs: Blobs, prefix: string): AsyncGenerator<string> {
  let after: string | undefined;
  for (;;) {
    const page = await blobs.list(prefix, { limit: PAGE, delimiter: '/', ...(after === undefined ? {} : { after }) });
    for (const folded of page.prefixes) yield folded.slice(prefix.length, -1);
    if (page.next === null) return;
    after = page.next;
  }
}

/** At most `width` at once. */
export async function forEachOf<T>(items: Iterable<T>, width: number, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** All bytes of a stream that is known to be small. */
export async function bytesOf(body: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Repositories that a blob is linked from. One page: whoever has more than a thousand finds one among them. */
export async function* segmentsOfBacklinks(blobs: Blobs, prefix: string): AsyncGenerator<string> {
  const page = await blobs.list(prefix, { limit: PAGE });
  for (const { key } of page.blobs) yield nameOfSegment(key.slice(prefix.length));
}
