import type { IncomingMessage, ServerResponse } from 'node:http';
import { badBody, badRequest, ToolboxError } from '../errors.ts';

/** One request and its reply, parsed as far as every route needs it. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  /** Path as sent, percent-encoding kept, without query and without trailing slashes. */
  readonly path: string;
  /** Query text without `?`, as sent. */
  readonly search: string;
  /** What the `{name}` segments of the route matched, percent-decoded, in order. */
  readonly params: readonly string[];
}

export type Handler = (exchange: Exchange) => Promise<void> | void;

/** Largest JSON body. Commands and sources travel in it, so it is generous; a file belongs in an upload route. */
export const MAX_JSON_BYTES = 64 * 1024 * 1024;

/** Percent-decodes one component. Sequences that are no UTF-8 are refused: a replacement character would name another file. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badRequest(`invalid percent-encoding: ${text.slice(0, 200)}`);
  }
}

/** First value of a query parameter, or undefined. `+` is a blank: clients send form encoding. */
export function query(exchange: Pick<Exchange, 'search'>, name: string): string | undefined {
  if (exchange.search === '') return undefined;
  for (const pair of exchange.search.split('&')) {
    const equals = pair.indexOf('=');
    const key = equals < 0 ? pair : pair.slice(0, equals);
    if (decode(key.replaceAll('+', ' ')) === name) return equals < 0 ? '' : decode(pair.slice(equals + 1).replaceAll('+', ' '));
  }
  return undefined;
}

export function requiredQuery(exchange: Pick<Exchange, 'search'>, name: string): string {
  const value = query(exchange, name);
  if (value === undefined || value === '') throw badRequest(`query parameter '${name}' is required`);
  return value;
}

/** The whole body, at most `limit` bytes. */
export async function readBody(exchange: Exchange, limit: number): Promise<Buffer> {
  const tooLarge = new ToolboxError(413, null, `request body exceeds ${limit} bytes`);
  const announced = Number(exchange.request.headers['content-length'] ?? 0);
  if (announced > limit) throw tooLarge;
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const { request } = exchange;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= limit) chunks.push(chunk);
      else {
        chunks.length = 0;
        reject(tooLarge);
      }
    });
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.on('error', reject);
  });
}

/** The body as a JSON object. Unknown keys are kept and ignored. */
export async function readJson(exchange: Exchange): Promise<Readonly<Record<string, unknown>>> {
  const body = await readBody(exchange, MAX_JSON_BYTES);
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw badBody(body.length === 0 ? 'the body is empty, JSON expected' : `malformed JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badBody('a JSON object is expected');
  return value as Record<string, unknown>;
}

export function sendJson(exchange: Exchange, status: number, value: unknown): void {
  sendText(exchange, status, JSON.stringify(value));
}

/** @param json text that already is JSON */
export function sendText(exchange: Exchange, status: number, json: string): void {
  const body = Buffer.from(json);
  exchange.response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length });
  exchange.response.end(body);
}

export function sendEmpty(exchange: Exchange, status: number): void {
  exchange.response.writeHead(status, status === 204 ? {} : { 'Content-Length': 0 });
  exchange.response.end();
}

/** Calls back once when the client goes away before the reply is complete. */
export function onGone(exchange: Exchange, gone: () => void): void {
  exchange.response.once('close', () => {
    if (!exchange.response.writableFinished) gone();
  });
}
