/** Runs commands in a sandbox through its toolbox and hands on what they print while they print it. */
import { request, type IncomingMessage } from 'node:http';

/** Replies other than logs are a few bytes; more is not a toolbox. */
const MAX_REPLY_BYTES = 64 * 1024;

const SESSION = 'build';

export class ToolboxRun {
  readonly #socketPath: string;
  readonly #signal: AbortSignal;

  private constructor(socketPath: string, signal: AbortSignal) {
    this.#socketPath = socketPath;
    this.#signal = signal;
  }

  /** @param signal ends the waiting, not the commands: they end with their sandbox */
  static async open(socketPath: string, signal: AbortSignal): Promise<ToolboxRun> {
    const run = new ToolboxRun(socketPath, signal);
    await run.#ask('POST', '/process/session', { sessionId: SESSION });
    return run;
  }

  /** @returns the exit code. Throws when the sandbox ends meanwhile. */
  async run(command: string, onOutput: (text: string) => void): Promise<number> {
    const { cmdId } = (await this.#ask('POST', `/process/session/${SESSION}/exec`, { command, runAsync: true })) as { cmdId?: unknown };
    if (typeof cmdId !== 'string' || !/^[A-Za-z0-9-]{1,100}$/.test(cmdId)) throw new Error('The toolbox answered without the id of the command');
    const path = `/process/session/${SESSION}/command/${cmdId}`;
    const log = await this.#call('GET', `${path}/logs?follow=true`);
    log.setEncoding('utf8');
    for await (const text of log as AsyncIterable<string>) onOutput(text);
    const { exitCode } = (await this.#ask('GET', path)) as { exitCode?: unknown };
    if (typeof exitCode !== 'number') throw new Error('The command ended without an exit code');
    return exitCode;
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const response = await this.#call(method, path, body);
    let text = '';
    response.setEncoding('utf8');
    for await (const chunk of response as AsyncIterable<string>) {
      text += chunk;
      if (text.length > MAX_REPLY_BYTES) throw new Error('The reply of the toolbox is too long');
    }
    return text === '' ? {} : JSON.parse(text);
  }

  #call(method: string, path: string, body?: object): Promise<IncomingMessage> {
    const text = body === undefined ? null : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const call = request({
        socketPath: this.#socketPath, signal: this.#signal, method, path, agent: false,
        headers: text === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      });
      call.once('error', reject);
      call.once('response', (response) => {
        response.once('error', () => {}); // whoever reads it is told; when nobody does yet, it must not end the runner
        if (response.statusCode! < 300) return resolve(response);
        response.resume();
        reject(new Error(`The toolbox answered ${response.statusCode} to ${method} ${path}`));
      });
      call.end(text);
    });
  }
}
