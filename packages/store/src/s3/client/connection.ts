import { createHash } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ObjectAccess } from '@paddock/contract';
import aws4 from 'aws4';
import { BlobError } from '../../blobs/blobs.ts';
import { encodeKey, encodeStrict } from '../encoding.ts';
import { childText, parseXml, type XmlElement } from '../xml.ts';
import { awsCredentials } from './presign.ts';

export interface S3Call {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Whole key with the prefix of the access; empty: the bucket. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Of the body, in hex; else its md5 is made and sent. */
  readonly sha256?: string;
  /** Statuses that are answers and not errors. */
  readonly accepts?: readonly number[];
}

export interface S3Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read or destroyed. */
  readonly stream: IncomingMessage;
}

const IDLE_MS = 60_000;
/** Listings and errors; 1,000 keys of 1,024 bytes, percent-encoded. */
const MAX_DOCUMENT_BYTES = 8 * 1024 ** 2;
const WAITS_MS = [200, 1000, 4000];

/** Signed requests to one bucket, repeated when the store or the way to it fails. */
export class S3Connection {
  readonly #access: ObjectAccess;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #request: typeof httpRequest;
  readonly #host: string;

  constructor(access: ObjectAccess) {
    this.#access = access;
    const secure = access.endpoint.startsWith('https:');
    this.#agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: 16 });
    this.#request = secure ? httpsRequest : httpRequest;
    this.#host = new URL(access.endpoint).host;
  }

  get bucket(): string {
    return this.#access.bucket;
  }

  /** @throws BlobError STORE_FAILED */
  async call(call: S3Call): Promise<S3Reply> {
    for (let attempt = 0; ; attempt++) {
      const wait = WAITS_MS[attempt];
      try {
        const reply = await this.#once(call);
        if (reply.status < 300 || call.accepts?.includes(reply.status)) return reply;
        const problem = await problemOf(reply);
        if (wait === undefined || !(reply.status >= 500 || reply.status === 429)) throw new BlobError('STORE_FAILED', `The object store refused ${call.method} with ${problem}`);
      } catch (error) {
        if (error instanceof BlobError) throw error;
        const { code, message } = error as NodeJS.ErrnoException;
        if (wait === undefined) throw new BlobError('STORE_FAILED', `The object store ${this.#host} does not answer (${code ?? message})`, { cause: error });
      }
      await sleep(wait);
    }
  }

  /** A call whose answer is XML. @throws BlobError also when the answer is an error that came with status 200 */
  async document(call: S3Call): Promise<XmlElement> {
    const reply = await this.call(call);
    const root = parseXml(await textOf(reply.stream));
    if (root.name === 'Error') throw new BlobError('STORE_FAILED', `The object store failed: ${childText(root, 'Code')} ${childText(root, 'Message') ?? ''}`);
    return root;
  }

  /** A call whose answer has no content that matters. */
  async done(call: S3Call): Promise<S3Reply> {
    const reply = await this.call(call);
    await textOf(reply.stream);
    return reply;
  }

  #once({ method, key, query = {}, headers = {}, body, sha256 }: S3Call): Promise<S3Reply> {
    const search = Object.entries(query).map(([name, value]) => `${encodeStrict(name)}=${encodeStrict(value)}`).join('&');
    const path = `/${this.#access.bucket}${key === '' ? '/' : `/${encodeKey(key)}`}${search === '' ? '' : `?${search}`}`;
    const unsigned: Record<string, string> = { ...headers, host: this.#host, 'x-amz-content-sha256': sha256 ?? 'UNSIGNED-PAYLOAD' };
    if (body !== undefined) {
      unsigned['content-length'] = String(body.length);
      if (sha256 === undefined) unsigned['content-md5'] = createHash('md5').update(body).digest('base64');
    } else if (method === 'PUT' || method === 'POST') unsigned['content-length'] = '0';
    const { headers: signed } = aws4.sign({ service: 's3', region: this.#access.region, method, host: this.#host, path, headers: unsigned }, awsCredentials(this.#access));
    const [hostname, port] = [new URL(this.#access.endpoint).hostname.replace(/^\[|\]$/g, ''), new URL(this.#access.endpoint).port];
    return new Promise((resolve, reject) => {
      const request = this.#request({ hostname, port: port || undefined, method, path, headers: signed, agent: this.#agent, setHost: false }, (stream) => resolve({ status: stream.statusCode ?? 0, headers: stream.headers, stream }));
      request.setTimeout(IDLE_MS, () => request.destroy(new Error('timed out')));
      request.on('error', reject);
      request.end(body);
    });
  }
}

async function textOf(stream: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_DOCUMENT_BYTES) throw new BlobError('STORE_FAILED', 'The object store answered more than it should');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Status, code and message in one line. */
async function problemOf({ status, stream }: S3Reply): Promise<string> {
  const text = await textOf(stream);
  try {
    const error = parseXml(text);
    return `${status} ${childText(error, 'Code') ?? ''}: ${childText(error, 'Message') ?? ''}`;
  } catch {
    return `status ${status}`;
  }
}
