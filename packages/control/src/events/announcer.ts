import { randomUUID } from 'node:crypto';
import type { Queryable } from '../db/index.ts';
import { announce } from './store.ts';

/** An event that was written into the outbox with its whole message. */
export interface Announcement {
  readonly id: number;
  readonly organizationId: string;
  readonly event: string;
  readonly payload: unknown;
}

/**
 * Events of everything but sandboxes. The message is written by the transaction of the change it tells of, because what it
 * tells of may be gone when another process has to send it.
 */
export class Announcer {
  /** UUID of this process, written into its outbox rows. */
  readonly origin = randomUUID();
  #publish: (announcement: Announcement) => void = () => {};

  /** Without a publisher (a process that serves no sockets) the events are sent by whoever looks for late ones. */
  usePublisher(publish: (announcement: Announcement) => void): void {
    this.#publish = publish;
  }

  /** To be called in the transaction of the change; `publish` what it returns after the commit. */
  async write(tx: Queryable, organizationId: string, event: string, subjectId: string, payload: unknown): Promise<Announcement> {
    const row = await tx.one(announce(this.origin, organizationId, event, subjectId, payload));
    return { id: row!.id, organizationId, event, payload };
  }

  publish(announcements: readonly Announcement[]): void {
    for (const announcement of announcements) this.#publish(announcement);
  }
}
