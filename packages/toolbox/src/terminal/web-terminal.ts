import type { Duplex } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { WebSocket } from 'ws';
import { currentEnv } from '../environment/environment.ts';
import { workDir } from '../environment/places.ts';
import { Outlet } from '../http/outlet.ts';
import { becameBusy } from '../http/quiet.ts';
import { userShell } from '../process/shell.ts';
import { Scrollback } from '../pty/scrollback.ts';
import { Terminal } from '../pty/terminal.ts';

/** How long a shell waits for its page to come back: a reload, a network that changes. Then it is ended with all it runs. */
const ABANDONED_MS = 60_000;

/** Close code for a page whose shell another page has taken over. */
const TAKEN_OVER = 4409;

const MAX_SIZE = 1000;

/** The shell of one browser page. Wire: text frames both ways; one from the page that is `{rows, cols}` is a size, all else input. */
export class WebTerminal {
  readonly #terminal: Terminal;
  readonly #scrollback = new Scrollback();
  #decoder = new StringDecoder('utf8');
  #outlet: Outlet | null = null;
  #abandoned: NodeJS.Timeout | null = null;

  /** @param left called when the shell has ended */
  constructor(left: () => void) {
    const env = { ...currentEnv(), TERM: 'xterm-256color' };
    this.#terminal = new Terminal({ file: userShell(env), args: ['-i', '-l'], env, cwd: workDir, columns: 80, rows: 24 }, {
      output: (chunk) => this.#output(chunk),
      exited: left,
      closed: () => {
        if (this.#abandoned !== null) clearTimeout(this.#abandoned);
        this.#outlet?.socket.resume();
        this.#outlet?.close(1000);
      },
      drained: () => this.#outlet?.socket.resume(),
    });
  }

  /** The page in front of the shell; one before it has to go. */
  attach(socket: WebSocket, connection: Duplex): void {
    if (this.#abandoned !== null) clearTimeout(this.#abandoned);
    this.#outlet?.close(TAKEN_OVER, 'opened in another window');
    const outlet = new Outlet(socket, connection, () => this.#balance());
    this.#outlet = outlet;
    this.#decoder = new StringDecoder('utf8');
    const past = this.#decoder.write(this.#scrollback.read());
    if (past !== '') outlet.send(past);
    this.#balance();
    socket.on('message', (data, isBinary) => this.#input(outlet, data as Buffer, isBinary));
    socket.once('close', () => this.#leave(outlet));
  }

  #leave(outlet: Outlet): void {
    if (this.#outlet !== outlet) return;
    this.#outlet = null;
    this.#abandoned = setTimeout(() => this.#terminal.kill(), ABANDONED_MS).unref();
    this.#balance();
  }

  #input(outlet: Outlet, data: Buffer, isBinary: boolean): void {
    if (outlet !== this.#outlet || data.length === 0) return;
    becameBusy();
    const size = isBinary ? null : sizeIn(data);
    if (size !== null) this.#terminal.resize(size.cols, size.rows);
    else if (!this.#terminal.write(data)) outlet.socket.pause();
  }

  #output(chunk: Buffer): void {
    this.#scrollback.push(chunk);
    const text = this.#decoder.write(chunk);
    if (text !== '') this.#outlet?.send(text);
  }

  #balance(): void {
    if (this.#outlet?.behind) this.#terminal.pause();
    else this.#terminal.resume();
  }
}

function sizeIn(data: Buffer): { readonly rows: number; readonly cols: number } | null {
  if (data[0] !== 0x7b || data.length > 100) return null;
  try {
    const { rows, cols } = JSON.parse(data.toString('utf8')) as { rows: unknown; cols: unknown };
    return isSize(rows) && isSize(cols) ? { rows, cols } : null;
  } catch {
    return null; // text that begins like JSON
  }
}

const isSize = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_SIZE;
