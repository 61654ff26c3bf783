import { plan, type Queryable } from '../db/index.ts';

/** An event of the outbox. Those of sandboxes are completed with the sandbox when they are sent, all others hold their message. */
export interface OutboxRow {
  readonly id: number;
  readonly organizationId: string;
  readonly event: string;
  readonly subjectId: string;
  readonly detail: Readonly<Record<string, string>> & { readonly payload?: unknown };
}

/** Channel on which a process tells the others which events it published. */
export const EVENTS_CHANNEL = 'paddock_events';

const FIELDS = `o.id, o.organization_id as "organizationId", o.event, o.subject_id as "subjectId", o.detail`;

export const announce = (origin: string, organizationId: string, event: string, subjectId: string, payload: unknown) => plan<{ id: number }>('outbox-announce', `
  insert into outbox (organization_id, event, subject_id, origin, detail) values ($1, $2, $3, $4, jsonb_build_object('payload', $5::jsonb)) returning id`,
[organizationId, event, subjectId, origin, JSON.stringify(payload)]);

/** NOTIFY is sent here and not by the writing transaction: commits that notify wait for each other. */
const published = (ids: readonly number[], message: string) => plan('outbox-published', `
  with marked as (update outbox set published_at = now() where id = any($1::bigint[]) returning id)
  select pg_notify('${EVENTS_CHANNEL}', $2) from (select count(*) from marked) counted`, [ids, message]);

const read = (ids: readonly number[]) => plan<OutboxRow>('outbox-read', `
  select ${FIELDS} from outbox o where o.id = any($1::bigint[]) order by o.id`, [ids]);

/** Marked before they are sent: two processes that look at the same moment do not both send. */
const takeLate = (olderThanMs: number, limit: number) => plan<OutboxRow>('outbox-take-late', `
  with late as (
    select id from outbox where published_at is null and created_at < now() - $1 * interval '1 millisecond'
    order by id limit $2 for update skip locked
  ), o as (
    update outbox set published_at = now() from late where outbox.id = late.id returning outbox.*
  )
  select ${FIELDS} from o order by o.id`, [olderThanMs, limit]);

export class OutboxStore {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async published(ids: readonly number[], message: string): Promise<void> {
    await this.#db.run(published(ids, message));
  }

  read(ids: readonly number[]): Promise<OutboxRow[]> {
    return this.#db.query(read(ids));
  }

  takeLate(olderThanMs: number, limit: number): Promise<OutboxRow[]> {
    return this.#db.query(takeLate(olderThanMs, limit));
  }
}
