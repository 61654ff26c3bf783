import type { Logger } from 'pino';
import type { Database, Subscription } from '../db/index.ts';
import type { Change } from '../sandboxes/index.ts';
import type { Announcement } from './announcer.ts';
import { EVENTS_CHANNEL, OutboxStore, type OutboxRow } from './store.ts';

/** Events are sent to this process' own clients at once; that they were is written for all of them together. */
const MARK_MS = 100;
/** An event nobody published after this time belonged to a process that died between its commit and its clients. */
const LATE_MS = 3_000;
const LATE_BATCH = 100;
/** Ids in one NOTIFY, whose text must stay below 8,000 bytes. */
const NOTIFY_BATCH = 300;

export interface PublisherDeps {
  readonly db: Database;
  /** UUID of this process. */
  readonly origin: string;
  /** Loads what an event is about; null when it is gone. */
  readonly load: (subjectId: string) => Promise<Change['sandbox'] | null>;
  /** Sends to the clients of this process. */
  readonly send: (organizationId: string, event: string, detail: Readonly<Record<string, string>>, sandbox: Change['sandbox']) => void;
  /** Sends an event that holds its message. */
  readonly announce: (organizationId: string, event: string, payload: unknown) => void;
  /** Another process changed the sandbox: what is remembered of it is old. */
  readonly changedElsewhere: (sandbox: Change['sandbox']) => void;
  readonly log: Logger;
}

/**
 * Publishes committed events: those of this process without asking the database, those of other processes when they
 * announce them, those of dead processes when they are late.
 */
export class Publisher {
  readonly #deps: PublisherDeps;
  readonly #store: OutboxStore;
  #sent: number[] = [];
  #markTimer: NodeJS.Timeout | undefined;
  #lateTimer: NodeJS.Timeout | undefined;
  #subscription: Subscription | undefined;

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
    this.#store = new OutboxStore(deps.db);
  }

  async start(): Promise<void> {
    this.#subscription = await this.#deps.db.listen(EVENTS_CHANNEL, (message) => void this.#heard(message));
    this.#lateTimer = setInterval(() => void this.#publishLate(), LATE_MS).unref();
    await this.#publishLate();
  }

  async stop(): Promise<void> {
    clearInterval(this.#lateTimer);
    this.#subscription?.stop();
    await this.#mark();
  }

  /** A change of this process was committed. */
  publish(change: Change): void {
    for (const { id, event, detail } of change.events) {
      this.#deps.send(change.sandbox.organizationId, event, detail, change.sandbox);
      this.#wasSent(id);
    }
  }

  /** An event with its message was committed by this process. */
  announce({ id, organizationId, event, payload }: Announcement): void {
    this.#deps.announce(organizationId, event, payload);
    this.#wasSent(id);
  }

  #wasSent(id: number): void {
    this.#sent.push(id);
    this.#markTimer ??= setTimeout(() => void this.#mark(), MARK_MS).unref();
  }

  async #mark(): Promise<void> {
    clearTimeout(this.#markTimer);
    this.#markTimer = undefined;
    while (this.#sent.length > 0) {
      const ids = this.#sent.splice(0, NOTIFY_BATCH);
      try {
        await this.#store.published(ids, `${this.#deps.origin}:${ids.join()}`);
      } catch (error) {
        // Sent a second time as late ones: clients take an event as news of a state, twice does no harm.
        this.#deps.log.debug({ err: error }, 'published events could not be marked');
        return;
      }
    }
  }

  async #heard(message: string): Promise<void> {
    const [origin, ids = ''] = message.split(':');
    if (origin === this.#deps.origin) return;
    try {
      await this.#sendAll(await this.#store.read(ids.split(',').map(Number)));
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'events of another process could not be read');
    }
  }

  async #publishLate(): Promise<void> {
    try {
      const late = await this.#store.takeLate(LATE_MS, LATE_BATCH);
      await this.#sendAll(late);
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'late events could not be read');
    }
  }

  async #sendAll(rows: readonly OutboxRow[]): Promise<void> {
    for (const { organizationId, event, detail, subjectId } of rows) {
      if ('payload' in detail) {
        this.#deps.announce(organizationId, event, detail.payload);
        continue;
      }
      const sandbox = await this.#deps.load(subjectId);
      if (!sandbox) continue;
      this.#deps.changedElsewhere(sandbox);
      this.#deps.send(organizationId, event, detail, sandbox);
    }
  }
}
