import pg from 'pg';
import type { Logger } from 'pino';
import type { ConnectionSettings } from './database.ts';
import { reconnecting, type Reconnecting } from './reconnecting.ts';

export interface Subscription {
  stop(): void;
}

interface Handler {
  readonly onMessage: (payload: string) => void;
  readonly onGap: (() => void) | undefined;
}

/** One connection that listens on all channels. PostgreSQL delivers to it in commit order. */
export class Listener {
  readonly #handlers = new Map<string, Set<Handler>>();
  readonly #connection: Reconnecting;
  readonly #log: Logger;

  constructor(settings: ConnectionSettings, log: Logger) {
    this.#log = log;
    this.#connection = reconnecting({ ...settings, statement_timeout: 0, application_name: 'paddock-listen' }, log, {
      prepare: async (client) => {
        client.on('notification', (message) => this.#dispatch(message));
        for (const channel of this.#handlers.keys()) await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      },
      onReconnect: () => {
        for (const handlers of this.#handlers.values()) for (const handler of handlers) this.#call(() => handler.onGap?.());
      },
    });
  }

  async listen(channel: string, onMessage: (payload: string) => void, onGap?: () => void): Promise<Subscription> {
    const handler: Handler = { onMessage, onGap };
    const handlers = this.#handlers.get(channel);
    if (handlers) handlers.add(handler);
    else this.#handlers.set(channel, new Set([handler]));
    const client = await this.#connection.client();
    await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
    return { stop: () => void this.#handlers.get(channel)?.delete(handler) };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #dispatch(message: pg.Notification): void {
    for (const handler of this.#handlers.get(message.channel) ?? []) this.#call(() => handler.onMessage(message.payload ?? ''));
  }

  #call(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#log.error({ err: error }, 'notification handler failed');
    }
  }
}
