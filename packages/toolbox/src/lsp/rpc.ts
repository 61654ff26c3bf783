import type { Readable, Writable } from 'node:stream';

/** JSON-RPC as language servers speak it: a `Content-Length` header, an empty line, one JSON text. */

/** Longest message taken. A list of ten thousand completions has 5 MB. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const MAX_HEADER_BYTES = 4 * 1024;

interface Message {
  readonly id?: number | string | null;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** What the server may ask. */
export interface Peer {
  /** @returns the result, or undefined for a method that is not known */
  answer(method: string, params: unknown): unknown;
  notified(method: string, params: unknown): void;
}

export class RpcError extends Error {}

export class Rpc {
  readonly #output: Writable;
  readonly #peer: Peer;
  readonly #pending = new Map<number, Pending>();
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes needed before it is worth looking again. */
  #wanted = 1;
  #nextId = 1;
  #ended: Error | null = null;

  /** @param broken called when the other side does not speak the protocol */
  constructor(input: Readable, output: Writable, peer: Peer, broken: (reason: string) => void) {
    this.#output = output;
    this.#peer = peer;
    output.on('error', () => undefined);
    input.on('error', () => undefined);
    input.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes < this.#wanted) return;
      try {
        this.#read();
      } catch (error) {
        input.destroy();
        broken((error as Error).message);
      }
    });
  }

  /** @param signal abandons the request and tells the server so */
  request(method: string, params?: unknown, signal?: AbortSignal): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const abandon = (): void => {
        if (!this.#pending.delete(id)) return;
        this.notify('$/cancelRequest', { id });
        reject(signal!.reason as Error);
      };
      const settled = (): void => signal?.removeEventListener('abort', abandon);
      this.#pending.set(id, { resolve: (result) => (settled(), resolve(result)), reject: (error) => (settled(), reject(error)) });
      signal?.addEventListener('abort', abandon);
      this.#send({ id, method, params });
      if (signal?.aborted) abandon();
    });
  }

  notify(method: string, params?: unknown): void {
    if (!this.#ended) this.#send({ method, params });
  }

  /** No answer can come any more. */
  end(reason: Error): void {
    this.#ended ??= reason;
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }

  #send(message: Message): void {
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    this.#output.write(`Content-Length: ${body.length}\r\n\r\n`);
    this.#output.write(body);
  }

  #read(): void {
    let buffer = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    for (;;) {
      const end = buffer.indexOf('\r\n\r\n');
      if (end < 0) {
        if (buffer.length > MAX_HEADER_BYTES) throw new Error('a header that does not end');
        this.#wanted = buffer.length + 1;
        break;
      }
      const length = Number(/content-length: *(\d+)/i.exec(buffer.toString('latin1', 0, end))?.[1] ?? Number.NaN);
      if (!(length <= MAX_MESSAGE_BYTES)) throw new Error('a message without a sensible length');
      this.#wanted = end + 4 + length;
      if (buffer.length < this.#wanted) break;
      const message = JSON.parse(buffer.toString('utf8', end + 4, this.#wanted)) as Message;
      buffer = buffer.subarray(this.#wanted);
      this.#take(message);
    }
    this.#chunks = buffer.length === 0 ? [] : [buffer];
    this.#bytes = buffer.length;
  }

  #take(message: Message): void {
    if (message.method !== undefined && message.id !== undefined && message.id !== null) {
      const result = this.#peer.answer(message.method, message.params);
      this.#send(result === undefined ? { id: message.id, error: { code: -32601, message: `unknown method ${message.method}` } } : { id: message.id, result });
    } else if (message.method !== undefined) {
      this.#peer.notified(message.method, message.params);
    } else {
      const pending = this.#pending.get(message.id as number);
      if (!pending) return;
      this.#pending.delete(message.id as number);
      if (message.error) pending.reject(new RpcError(message.error.message));
      else pending.resolve(message.result);
    }
  }
}
