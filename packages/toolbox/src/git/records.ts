import type { Readable } from 'node:stream';

/** Texts that end in NUL, one by one, whatever the pieces they arrive in. What is no UTF-8 becomes U+FFFD. */
export async function* splitRecords(stream: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let begun = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const records = decoder.decode(chunk, { stream: true }).split('\0');
    records[0] = begun + records[0]!;
    begun = records.pop()!;
    yield* records;
  }
}
