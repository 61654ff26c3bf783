import { once } from 'node:events';
import type { Exchange } from '../http/exchange.ts';
import { onGone } from '../http/exchange.ts';
import type { OutputForm } from './client.ts';
import type { Log } from './log.ts';
import type { LogReader } from './log-reader.ts';
import { MARKER_BYTES, payloads, STDERR, STDOUT, type Stream } from './records.ts';

/** Turns the records of a log as it is into the texts of a reply, piece by piece: a long log is never held as one text. */

/** Gathered before it is written. */
const GATHER_BYTES = 64 * 1024;

type Part = 'combined' | 'marked' | Stream;

/** The bytes of one text. Markers stand where the stream changes. */
async function* bytesOf(reader: LogReader, part: Part): AsyncGenerator<Buffer> {
  reader.rewind();
  let last: Stream | null = null;
  for (let records = await reader.next(); records !== null; records = await reader.next()) {
    for (const [stream, payload] of payloads(records)) {
      if (part === 'marked' && stream !== last) yield Buffer.alloc(MARKER_BYTES, stream);
      last = stream;
      if (typeof part !== 'number' || part === stream) yield payload;
    }
  }
}

/** Writes pieces of text, waiting for a client that takes them slowly. */
class Writer {
  readonly #exchange: Exchange;
  #text = '';
  gone = false;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    onGone(exchange, () => (this.gone = true));
  }

  async write(text: string): Promise<void> {
    this.#text += text;
    if (this.#text.length >= GATHER_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    const { response } = this.#exchange;
    const text = this.#text;
    this.#text = '';
    if (this.gone || text === '') return;
    if (!response.write(text)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }

  /** A short reply goes out in one piece with its length. */
  end(): void {
    if (this.gone) return;
    const { response } = this.#exchange;
    if (!response.headersSent) response.setHeader('Content-Length', Buffer.byteLength(this.#text));
    response.end(this.#text);
  }
}

/** @param fields what stands in the JSON object before the texts */
export async function replyJson(exchange: Exchange, log: Log, status: number, fields: Readonly<Record<string, unknown>>, form: OutputForm): Promise<void> {
  const texts: readonly (readonly [string, Part])[] = form === 'split' ? [['output', 'marked'], ['stdout', STDOUT], ['stderr', STDERR]] : [['output', form]];
  await reply(exchange, log, status, 'application/json; charset=utf-8', async (reader, writer) => {
    let before = Object.keys(fields).length === 0 ? '{' : `${JSON.stringify(fields).slice(0, -1)},`;
    for (const [name, part] of texts) {
      await writer.write(`${before}"${name}":"`);
      before = ',';
      await writeText(reader, writer, part, (text) => JSON.stringify(text).slice(1, -1));
      await writer.write('"');
    }
    await writer.write('}');
  });
}

export async function replyText(exchange: Exchange, log: Log, form: 'combined' | 'marked'): Promise<void> {
  await reply(exchange, log, 200, 'text/plain; charset=utf-8', (reader, writer) => writeText(reader, writer, form, (text) => text));
}

async function writeText(reader: LogReader, writer: Writer, part: Part, escape: (text: string) => string): Promise<void> {
  // Text that is no UTF-8 becomes U+FFFD; NUL and other control characters stay.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for await (const bytes of bytesOf(reader, part)) {
    if (writer.gone) return;
    await writer.write(escape(decoder.decode(bytes, { stream: true })));
  }
  await writer.write(escape(decoder.decode()));
}

async function reply(exchange: Exchange, log: Log, status: number, type: string, write: (reader: LogReader, writer: Writer) => Promise<void>): Promise<void> {
  const reader = log.reader(false);
  reader.hold();
  const { response } = exchange;
  reader.onAbandon(() => {
    if (response.headersSent) response.destroy();
  });
  response.statusCode = status;
  response.setHeader('Content-Type', type);
  try {
    const writer = new Writer(exchange);
    await write(reader, writer);
    writer.end();
  } catch (error) {
    // What answers an error begins anew.
    for (const name of response.headersSent ? [] : response.getHeaderNames()) response.removeHeader(name);
    throw error;
  } finally {
    reader.close();
  }
}
