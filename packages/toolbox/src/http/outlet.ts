import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** Unsent bytes at which a client counts as behind, and those at which it has caught up. */
const BEHIND_BYTES = 1024 * 1024;
const CAUGHT_UP_BYTES = 256 * 1024;

/**
 * How long a client that is behind may take nothing at all. Its source waits for it meanwhile, and with it every other client of that
 * source, so it is short; a client that takes anything, however slowly, is not closed.
 */
const STALLED_MS = 2_000;

/** Sends to a WebSocket and tells when its client falls behind. Wire: a client that does not read is closed with 1008. */
export class Outlet {
  readonly socket: WebSocket;
  readonly #connection: Duplex & { setTimeout?(ms: number): void };
  readonly #changed: () => void;
  #behind = false;

  /** @param connection what the WebSocket runs on @param changed called when `behind` has changed */
  constructor(socket: WebSocket, connection: Duplex, changed: () => void) {
    this.socket = socket;
    this.#connection = connection;
    this.#changed = changed;
    connection.on('timeout', () => {
      if (this.#behind) this.close(1008, 'the client reads too slowly');
    });
    socket.once('close', () => this.#set(false));
  }

  /** More would pile up: the source should wait. */
  get behind(): boolean {
    return this.#behind;
  }

  send(data: Buffer | string): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    this.socket.send(data, { binary: typeof data !== 'string' }, () => {
      if (this.#behind && this.socket.bufferedAmount < CAUGHT_UP_BYTES) this.#set(false);
    });
    if (!this.#behind && this.socket.bufferedAmount > BEHIND_BYTES) this.#set(true);
  }

  /** Nothing is sent any more but the close frame, behind what is queued. @param reason cut to the 123 bytes that a close frame holds */
  close(code: number, reason = ''): void {
    this.socket.close(code, fitting(reason));
    this.#set(false);
  }

  #set(behind: boolean): void {
    if (behind === this.#behind) return;
    this.#behind = behind;
    // The connection's own clock: bytes that leave it start it anew.
    this.#connection.setTimeout?.(behind ? STALLED_MS : 0);
    this.#changed();
  }
}

/** A close frame holds 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

function fitting(reason: string): string {
  let text = reason;
  while (Buffer.byteLength(text) > MAX_REASON_BYTES) text = text.slice(0, -1);
  return text;
}
