import { type ToolboxError, badRequest, envelope, fromErrno } from '../errors.ts';
import { type Exchange, sendJson, sendText } from '../http/exchange.ts';
import { FileSink } from './file-sink.ts';
import { boundaryOf, MultipartScanner } from './multipart.ts';
import { absolute } from './paths.ts';

const FIELD = /^files\[(\d{1,9})\]\.(path|file)$/;

/** A path as form field: longer than any path a file system takes. */
const MAX_PATH_BYTES = 64 * 1024;

/**
 * `POST /files/bulk-upload`: pairs of `files[i].path` and `files[i].file`, each path somewhere before its file. Files are
 * written as they arrive. Wire: whatever goes wrong with one of them, the whole body is still read, then the reply is 400
 * with the list of errors and of the files that arrived.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const boundary = boundaryOf(exchange.request.headers['content-type']);
  if (boundary === null) throw badRequest('a multipart/form-data body is expected');
  const upload = new Upload();
  const scanner = new MultipartScanner(boundary);
  try {
    for await (const chunk of exchange.request as AsyncIterable<Buffer>) {
      if (upload.malformed) continue;
      await upload.take(scanner, chunk);
    }
    if (!scanner.done) upload.fail(badRequest('the multipart body ended before its closing boundary'));
  } finally {
    await upload.close();
  }
  if (upload.errors.length === 0) return sendJson(exchange, 200, { files: upload.files });
  const message = upload.errors.join('; ');
  const body = JSON.parse(envelope(badRequest(message), exchange.method, exchange.path)) as object;
  sendText(exchange, 400, JSON.stringify({ ...body, message, errors: upload.errors, files: upload.files }));
}

class Upload {
  readonly files: { path: string; bytes: number }[] = [];
  readonly errors: string[] = [];
  readonly #paths = new Map<number, string>();
  #part: { index: number; kind: 'path' | 'file' } | null = null;
  #text: Buffer[] = [];
  #textBytes = 0;
  #sink: FileSink | null = null;
  #malformed = false;

  /** The framing is broken: nothing after it can be understood. */
  get malformed(): boolean {
    return this.#malformed;
  }

  async take(scanner: MultipartScanner, chunk: Buffer): Promise<void> {
    try {
      for (const event of scanner.feed(chunk)) {
        if (event.type === 'part') await this.#begin(event.name);
        else if (event.type === 'end') await this.#end();
        else if (this.#sink) await this.#write(event.data);
        else if (this.#part?.kind === 'path') this.#addText(event.data);
      }
    } catch (error) {
      this.#malformed = true;
      this.fail(fromErrno(error));
    }
  }

  fail(error: ToolboxError): void {
    this.errors.push(error.message);
  }

  /** Lets go of a file that was cut short. */
  async close(): Promise<void> {
    const sink = this.#sink;
    this.#sink = null;
    await sink?.close().catch(() => {});
  }

  async #begin(name: string): Promise<void> {
    const match = FIELD.exec(name);
    this.#part = match ? { index: Number(match[1]), kind: match[2] as 'path' | 'file' } : null;
    this.#text = [];
    this.#textBytes = 0;
    if (this.#part?.kind !== 'file') return;
    const path = this.#paths.get(this.#part.index);
    if (path === undefined || path === '') return this.fail(badRequest(`files[${this.#part.index}].file has no path before it`));
    await this.#try(async () => (this.#sink = await FileSink.open(absolute(path))));
  }

  #addText(data: Buffer): void {
    this.#textBytes += data.length;
    if (this.#textBytes <= MAX_PATH_BYTES) this.#text.push(data);
  }

  /** Only the first failure of a file is told; the rest of its data is read and dropped. */
  async #write(data: Buffer): Promise<void> {
    const wait = this.#sink!.write(data);
    if (wait) await this.#try(() => wait);
  }

  async #end(): Promise<void> {
    const part = this.#part;
    this.#part = null;
    if (part?.kind === 'path') {
      if (this.#textBytes > MAX_PATH_BYTES) this.fail(badRequest(`files[${part.index}].path is too long`));
      else this.#paths.set(part.index, Buffer.concat(this.#text).toString('utf8'));
    }
    const sink = this.#sink;
    if (!sink || part?.kind !== 'file') return;
    this.#sink = null;
    const path = this.#paths.get(part.index)!;
    await this.#try(async () => {
      await sink.close();
      this.files.push({ path, bytes: sink.bytes });
    });
  }

  async #try(step: () => Promise<unknown>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.fail(fromErrno(error));
      await this.close();
    }
  }
}
