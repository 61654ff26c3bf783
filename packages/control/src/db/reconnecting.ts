import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import type { ConnectionSettings } from './database.ts';
import { DatabaseUnavailable } from './errors.ts';

/** A dedicated connection that is made at first use and made again, with growing pauses, whenever it breaks. */
export interface Reconnecting {
  /** The live connection; waits for the running attempt, rejects with DatabaseUnavailable when that fails. */
  client(): Promise<pg.Client>;
  close(): Promise<void>;
}

export interface ReconnectingHooks {
  /** Called with each new connection before anyone else sees it. */
  prepare?(client: pg.Client): Promise<void>;
  /** Called when the connection broke. */
  onLost?(): void;
  /** Called when a connection is back after one broke. */
  onReconnect?(): void;
}

/** 50 ms: an embedded PostgreSQL restarts in about 100; 1 s: a reader of the log of an absent server is spared. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

export function reconnecting(settings: ConnectionSettings, log: Logger, hooks: ReconnectingHooks): Reconnecting {
  let current: Promise<pg.Client> | null = null;
  const stop = new AbortController();

  async function open(): Promise<pg.Client> {
    const client = new pg.Client(settings);
    let lost = false;
    const lose = (error?: Error): void => {
      if (lost) return;
      lost = true;
      log.debug({ err: error }, 'dedicated database connection lost');
      if (current !== attempt) return;
      current = null;
      hooks.onLost?.();
      if (!stop.signal.aborted) void reopen();
    };
    const attempt = current;
    client.on('error', lose);
    try {
      await client.connect();
      await hooks.prepare?.(client);
    } catch (error) {
      lost = true;
      client.end().catch(() => undefined);
      throw new DatabaseUnavailable('The database does not answer', { cause: error });
    }
    client.on('end', () => lose());
    return client;
  }

  function start(): Promise<pg.Client> {
    let begin!: () => void;
    const gate = new Promise<void>((resolve) => { begin = resolve; });
    const attempt: Promise<pg.Client> = gate.then(open);
    current = attempt;
    begin();
    attempt.catch(() => {
      if (current === attempt) current = null;
    });
    return attempt;
  }

  async function reopen(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      await sleep(pauseMs, undefined, { ref: false });
      if (stop.signal.aborted) return;
      try {
        await (current ?? start());
      } catch {
        continue; // PostgreSQL is still away.
      }
      hooks.onReconnect?.();
      return;
    }
  }

  return {
    client: () => {
      if (stop.signal.aborted) return Promise.reject(new DatabaseUnavailable('The database connection was closed'));
      return current ?? start();
    },
    close: async () => {
      stop.abort();
      const client = await current?.catch(() => null);
      await client?.end().catch(() => undefined);
    },
  };
}
