import { badRequest, fromErrno, type ToolboxError } from '../errors.ts';
import type { Exchange } from '../http/exchange.ts';
import { FileSink } from './file-sink.ts';
import { boundaryOf, MultipartScanner } from './multipart.ts';

/**
 * Writes the one file of a request to a path: the part `file` of a multipart body, or a raw body as it is. The body is read to its
 * end also after a failure, because a client that is still sending would see a reset and not the reply.
 */
export async function receiveFile(exchange: Exchange, path: string, parentMode: number): Promise<void> {
  const { request } = exchange;
  const boundary = boundaryOf(request.headers['content-type']);
  const target = new Target(path, parentMode);
  const scanner = boundary === null ? null : new MultipartScanner(boundary);
  try {
    if (!scanner) await target.open();
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (target.error) continue;
      if (scanner) await target.takeParts(scanner, chunk);
      else await target.write(chunk);
    }
    if (scanner && !scanner.done) target.fail(badRequest('the multipart body ended before its closing boundary'));
    else if (!target.opened) target.fail(badRequest("the multipart body has no part named 'file'"));
  } finally {
    await target.close();
  }
  if (target.error) throw target.error;
}

class Target {
  readonly #path: string;
  readonly #parentMode: number;
  #sink: FileSink | null = null;
  #opened = false;
  #error: ToolboxError | null = null;

  constructor(path: string, parentMode: number) {
    this.#path = path;
    this.#parentMode = parentMode;
  }

  get error(): ToolboxError | null {
    return this.#error;
  }

  get opened(): boolean {
    return this.#opened;
  }

  fail(error: unknown): void {
    this.#error ??= fromErrno(error, this.#path);
  }

  async open(): Promise<void> {
    this.#opened = true;
    try {
      this.#sink = await FileSink.open(this.#path, this.#parentMode);
    } catch (error) {
      this.fail(error);
    }
  }

  async takeParts(scanner: MultipartScanner, chunk: Buffer): Promise<void> {
    try {
      for (const event of scanner.feed(chunk)) {
        if (event.type === 'part' && event.name === 'file' && !this.#opened) await this.open();
        else if (event.type === 'data') await this.write(event.data);
        else if (event.type === 'end') await this.close();
      }
    } catch (error) {
      this.fail(error);
    }
  }

  async write(data: Buffer): Promise<void> {
    try {
      const wait = this.#sink?.write(data);
      if (wait) await wait;
    } catch (error) {
      this.fail(error);
    }
  }

  async close(): Promise<void> {
    const sink = this.#sink;
    this.#sink = null;
    await sink?.close().catch((error: unknown) => this.fail(error));
  }
}
