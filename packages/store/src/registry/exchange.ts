import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { paced } from '../paced.ts';
import { RegistryError } from './errors.ts';
import type { RegistryAccess } from './credentials.ts';

/** A connection on which nothing moves for this long is cut: a piece of an upload is kept whole or not at all. */
const SILENCE_MS = 120_000;
/** After an early answer a client gets this long to notice before its connection is cut. */
const DRAIN_MS = 10_000;

/** One request and its answer. */
export class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Set once it is known who asks. */
  access: RegistryAccess | null = null;
  /** Bytes of the request's body that were read. */
  received = 0;
  #waits: boolean;

  /** @param expectsContinue the client waits for `100 Continue` before it sends the body */
  constructor(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) {
    const [path = '', query = ''] = (req.url ?? '').split(/\?(.*)/s);
    this.req = req;
    this.res = res;
    this.method = req.method ?? '';
    this.path = path;
    this.query = new URLSearchParams(query);
    this.#waits = expectsContinue;
    req.socket.setTimeout(SILENCE_MS);
    req.on('error', () => undefined); // the body's reader is told by its iterator
    res.on('error', () => undefined);
    res.setHeader('docker-distribution-api-version', 'registry/2.0');
    res.setHeader('x-content-type-options', 'nosniff');
  }

  header(name: string): string | undefined {
    const value = this.req.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  /** Content-Length, null: unknown. */
  get length(): number | null {
    const text = this.header('content-length');
    return text === undefined ? null : Number(text);
  }

  /** The body; whoever stops reading it leaves the connection to `end`. A client that goes away is a RegistryError. */
  async *body(): AsyncGenerator<Buffer> {
    if (this.#waits) this.res.writeContinue();
    this.#waits = false;
    try {
      for await (const chunk of this.req.iterator({ destroyOnReturn: false })) {
        this.received += (chunk as Buffer).length;
        yield chunk as Buffer;
      }
    } catch (error) {
      throw gone(error);
    }
    if (!this.req.complete) throw gone(null);
    // What follows is our own work, such as reading pieces again.
    this.req.socket.setTimeout(0);
  }

  async wholeBody(limit: number, tooLarge: () => RegistryError): Promise<Buffer> {
    if ((this.length ?? 0) > limit) throw tooLarge();
    const chunks: Buffer[] = [];
    for await (const chunk of this.body()) {
      if (this.received > limit) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  /** An answer without a body. */
  empty(status: number, headers: Readonly<Record<string, string>> = {}): void {
    this.res.writeHead(status, { 'content-length': '0', ...headers });
    this.res.end();
  }

  json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
    const { 'content-type': type = 'application/json', ...more } = headers;
    this.bytes(status, Buffer.from(JSON.stringify(value)), { 'content-type': type, ...more });
  }

  /** @param length of the whole, for a HEAD that has no body */
  bytes(status: number, body: Buffer, headers: Readonly<Record<string, string>>, length = body.length): void {
    this.res.writeHead(status, { ...headers, 'content-length': String(length) });
    this.res.end(this.method === 'HEAD' ? undefined : body);
  }

  /** A client that goes away ends the reading too. */
  async stream(status: number, body: Readable, headers: Readonly<Record<string, string>>): Promise<void> {
    this.req.socket.setTimeout(SILENCE_MS);
    this.res.writeHead(status, headers);
    await pipeline(body, paced, this.res).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE') throw gone(error);
      throw error;
    });
  }

  fail(error: RegistryError): void {
    if (this.res.headersSent) return void this.res.destroy();
    this.json(error.status, { errors: [{ code: error.wire, message: error.message, ...(error.detail === undefined ? {} : { detail: error.detail }) }] }, {
      ...error.headers, ...(error.status === 503 ? { 'retry-after': '1' } : {}),
    });
  }

  /** After the answer: what the client still sends is thrown away for a while, so that it reads the answer and not a reset. */
  end(): void {
    const { req } = this;
    if (req.complete || req.destroyed) return;
    req.resume();
    const cut = setTimeout(() => req.socket.destroy(), DRAIN_MS).unref();
    req.once('close', () => clearTimeout(cut));
  }
}

/** Nobody reads this answer; its code is what the log says. */
function gone(cause: unknown): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'The client went away before the end', detail: cause instanceof Error ? cause.message : undefined });
}
