/** Asks the runner of a running server, by its socket: for root and the server's own user. */
import { request, type IncomingMessage } from 'node:http';

export class RunnerSocket {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @returns the body; null: 404. Throws a sentence for people otherwise. */
  async ask<T>(method: string, path: string, body?: object): Promise<T | null> {
    const response = await this.open(method, path, body);
    let text = '';
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
    const reply = text === '' ? undefined : (JSON.parse(text) as T & { message?: string });
    if (response.statusCode === 404) return null;
    if (response.statusCode! >= 300) throw new Error(reply?.message ?? `the runner answered ${response.statusCode}`);
    return reply as T;
  }

  open(method: string, path: string, body?: object): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const call = request({
        socketPath: this.#path, method, path, agent: false,
        headers: text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      }, resolve);
      call.once('error', (error: NodeJS.ErrnoException) => reject(new Error(WHY[error.code ?? ''] ?? `the runner cannot be reached: ${error.message}`, { cause: error })));
      call.end(text);
    });
  }
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'no server runs on this data directory: start it with `paddock up`',
  ECONNREFUSED: 'no server runs on this data directory: start it with `paddock up`',
  EACCES: 'only root may manage images: try with sudo',
  ECONNRESET: 'the server was stopped meanwhile',
};
