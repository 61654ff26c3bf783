import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { currentEnv, type Env } from '../environment/environment.ts';
import { fail, fromErrno } from '../errors.ts';
import { Outlet } from '../http/outlet.ts';
import { userShell } from '../process/shell.ts';
import { becameBusy } from '../http/quiet.ts';
import { RestartNote } from '../sessions/note.ts';
import { exitReason } from './exit-reason.ts';
import { Scrollback } from './scrollback.ts';
import { type Exit, Terminal } from './terminal.ts';

/** What a terminal session is asked for. */
export interface PtyRequest {
  readonly id: string;
  readonly cwd: string;
  readonly envs: Env;
  readonly cols: number;
  readonly rows: number;
  readonly lazyStart: boolean;
}

/** Wire: these keys and no others. */
export interface PtyInfo extends PtyRequest {
  readonly createdAt: string;
  readonly active: boolean;
}

export interface AttachOptions {
  /** The client asked for a last text frame with the exit code before the close frame. */
  readonly exitControl: boolean;
  /** The client wants the latest output before the live one. */
  readonly replay: boolean;
}

interface Client {
  readonly outlet: Outlet;
  readonly exitControl: boolean;
}

/** A shell on a terminal that any number of WebSocket clients watch and type into. */
export class PtySession {
  readonly #request: PtyRequest;
  readonly #createdAt = new Date().toISOString();
  readonly #left: () => void;
  readonly #clients = new Set<Client>();
  readonly #scrollback = new Scrollback();
  readonly #note = new RestartNote();
  #cols: number;
  #rows: number;
  #terminal: Terminal | null = null;
  #ended = false;
  #paused = false;

  /** @param left called once, when the session is over and its id is free again */
  constructor(request: PtyRequest, left: () => void) {
    this.#request = request;
    this.#cols = request.cols;
    this.#rows = request.rows;
    this.#left = left;
    if (request.lazyStart) this.#note.write({ pty: this.info }, null);
  }

  get info(): PtyInfo {
    const { id, cwd, envs, lazyStart } = this.#request;
    return { id, cwd, envs, cols: this.#cols, rows: this.#rows, createdAt: this.#createdAt, active: this.#terminal !== null && !this.#ended, lazyStart };
  }

  /** Starts the shell unless it runs: interactive and login. */
  start(): void {
    if (this.#terminal !== null) return;
    const env = { ...currentEnv(), TERM: 'xterm-256color', ...this.#request.envs };
    const options = { file: userShell(env), args: ['-i', '-l'], env, cwd: this.#request.cwd, columns: this.#cols, rows: this.#rows };
    try {
      this.#terminal = new Terminal(options, {
        output: (chunk) => this.#output(chunk),
        exited: () => this.#end(),
        closed: (exit) => this.#closed(exit),
        drained: () => this.#eachClient(({ outlet }) => outlet.socket.resume()),
      });
    } catch (error) {
      throw fromErrno(error);
    }
    this.#note.write({ pty: this.info }, this.#terminal.pid ?? null);
  }

  /** Adds a client to a session that runs. @param connection what the WebSocket runs on */
  attach(socket: WebSocket, connection: Duplex, options: AttachOptions): void {
    const client: Client = { outlet: new Outlet(socket, connection, () => this.#balance()), exitControl: options.exitControl };
    client.outlet.send(JSON.stringify({ type: 'control', status: 'connected' }));
    if (options.replay) this.#replay(client.outlet);
    this.#clients.add(client);
    socket.once('close', () => this.#clients.delete(client));
    socket.on('message', (data) => this.#input(client, data as Buffer));
  }

  resize(cols: number, rows: number): void {
    if (this.#ended) throw fail('GONE', `gone: PTY session '${this.#request.id}' has ended`);
    this.#cols = cols;
    this.#rows = rows;
    this.#terminal?.resize(cols, rows);
  }

  /** Kills everything the session runs. Clients are told by the close that follows. */
  kill(): void {
    if (this.#terminal === null) this.#closed({ code: 137, signal: 9 });
    this.#terminal?.kill();
    this.#end();
  }

  #input(client: Client, data: Buffer): void {
    becameBusy();
    // What the program does not read stays with the client: this one is read again when the terminal takes input.
    if (data.length > 0 && this.#terminal?.write(data) === false) client.outlet.socket.pause();
  }

  #output(chunk: Buffer): void {
    becameBusy();
    this.#scrollback.push(chunk);
    this.#eachClient(({ outlet }) => outlet.send(chunk));
  }

  #replay(outlet: Outlet): void {
    const text = this.#scrollback.read();
    for (let at = 0; at < text.length; at += REPLAY_BYTES) outlet.send(text.subarray(at, at + REPLAY_BYTES));
  }

  /** The terminal waits while any client is behind: nobody loses output, and nothing piles up here. */
  #balance(): void {
    const behind = [...this.#clients].some(({ outlet }) => outlet.behind);
    if (behind === this.#paused) return;
    this.#paused = behind;
    if (behind) this.#terminal?.pause();
    else this.#terminal?.resume();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#note.forget();
    this.#left();
  }

  #closed(exit: Exit): void {
    const exitInfo = { exitCode: exit.code, ...exitReason(exit) };
    this.#eachClient(({ outlet, exitControl }) => {
      // A client that waits for the terminal to take its input would not see the close.
      outlet.socket.resume();
      if (exitControl) outlet.send(JSON.stringify({ type: 'control', status: 'exited', ...exitInfo }));
      outlet.close(exit.code === 0 ? 1000 : 1011, JSON.stringify(exitInfo));
    });
  }

  #eachClient(use: (client: Client) => void): void {
    for (const client of this.#clients) use(client);
  }
}

/** Wire: no frame of terminal bytes is larger. */
const REPLAY_BYTES = 32 * 1024;
