import { createHash, type Hash } from 'node:crypto';
import { equal } from '../credentials.ts';
import { S3Error } from './errors.ts';
import { sign, type SigningChain } from './signature.ts';

/** Lower-case name → value, filled in when the body has ended. */
export type Trailers = Map<string, string>;

/** A chunk's size and signature, or a trailer. */
const MAX_LINE = 4096;
const MAX_TRAILERS = 16;
const EMPTY_SHA256 = createHash('sha256').digest('hex');

/**
 * Undoes `aws-chunked`: `<hex size>[;chunk-signature=<hex>]\r\n<bytes>\r\n` until size 0, then trailers. A chunk's signature is only known
 * to be right at the chunk's end, so the caller may use the bytes for good only after the last one.
 * @param chain null: chunks are not signed @throws S3Error
 */
export async function* readChunked(source: AsyncIterable<Buffer>, chain: SigningChain | null, hasTrailers: boolean, trailers: Trailers): AsyncGenerator<Buffer> {
  const reader = new LineReader(source);
  let previous = chain?.seed ?? '';
  for (;;) {
    const line = await reader.line();
    const [, hex, signature] = /^([0-9a-fA-F]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line) ?? [];
    if (hex === undefined || (chain !== null && signature === undefined)) throw new S3Error('IncompleteBody', 'The body is not in the form of aws-chunked.');
    const size = Number.parseInt(hex, 16);
    const hash = chain === null ? null : createHash('sha256');
    yield* reader.bytes(size, hash);
    // The last chunk is empty and, with trailers, has no line break of its own.
    if (size > 0 || !hasTrailers) await reader.lineBreak(size === 0);
    if (chain !== null) {
      const text = ['AWS4-HMAC-SHA256-PAYLOAD', chain.date, chain.scope, previous, EMPTY_SHA256, hash!.digest('hex')].join('\n');
      if (!equal(signature!, sign(chain.signingKey, text))) throw new S3Error('SignatureDoesNotMatch');
      previous = signature!;
    }
    if (size === 0) break;
  }
  if (hasTrailers) await readTrailers(reader, chain, previous, trailers);
  await reader.end();
}

async function readTrailers(reader: LineReader, chain: SigningChain | null, previous: string, trailers: Trailers): Promise<void> {
  let canonical = '';
  let signature: string | null = null;
  for (let count = 0; ; count++) {
    const line = await reader.line(true);
    if (line === '') break;
    const colon = line.indexOf(':');
    const [name, value] = [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    if (colon < 1 || count === MAX_TRAILERS) throw new S3Error('MalformedTrailerError');
    if (name === 'x-amz-trailer-signature') signature = value;
    else {
      trailers.set(name, value);
      canonical += `${name}:${value}\n`;
    }
  }
  if (chain === null) return;
  const text = ['AWS4-HMAC-SHA256-TRAILER', chain.date, chain.scope, previous, createHash('sha256').update(canonical).digest('hex')].join('\n');
  if (signature === null || !equal(signature, sign(chain.signingKey, text))) throw new S3Error('SignatureDoesNotMatch');
}

/** Lines and counted bytes out of a stream, holding one of its buffers at a time. */
class LineReader {
  readonly #source: AsyncIterator<Buffer>;
  #buffer: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Up to the next line break. @param endCounts the end of the stream ends a line too */
  async line(endCounts = false): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf('\r\n');
      if (end >= 0 && end <= MAX_LINE) {
        const line = this.#buffer.toString('latin1', 0, end);
        this.#buffer = this.#buffer.subarray(end + 2);
        return line;
      }
      if (this.#buffer.length > MAX_LINE) throw new S3Error('IncompleteBody', 'The body is not in the form of aws-chunked.');
      if (await this.#more()) continue;
      if (!endCounts) throw new S3Error('IncompleteBody');
      const rest = this.#buffer.toString('latin1').replace(/\n$/, '');
      this.#buffer = Buffer.alloc(0);
      return rest;
    }
  }

  async *bytes(size: number, hash: Hash | null): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      if (this.#buffer.length === 0 && !(await this.#more())) throw new S3Error('IncompleteBody');
      const part = this.#buffer.subarray(0, left);
      this.#buffer = this.#buffer.subarray(part.length);
      left -= part.length;
      hash?.update(part);
      yield part;
    }
  }

  async lineBreak(optional: boolean): Promise<void> {
    while (this.#buffer.length < 2 && (await this.#more()));
    if (this.#buffer.length === 0 && optional) return;
    if (this.#buffer.toString('latin1', 0, 2) !== '\r\n') throw new S3Error('IncompleteBody', 'The body is not in the form of aws-chunked.');
    this.#buffer = this.#buffer.subarray(2);
  }

  /** Nothing may follow. */
  async end(): Promise<void> {
    if (this.#buffer.length > 0 || (await this.#more())) throw new S3Error('IncompleteBody', 'The body goes on after its end.');
  }

  /** @returns false at the end of the stream */
  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done) return false;
    this.#buffer = this.#buffer.length === 0 ? next.value : Buffer.concat([this.#buffer, next.value]);
    return true;
  }
}
