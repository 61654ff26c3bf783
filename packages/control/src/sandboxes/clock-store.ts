import { plan, type Queryable } from '../db/index.ts';
import { SANDBOX } from './columns.ts';
import { NO_ORGANIZATION, type Sandbox } from './sandbox.ts';

export type DueAction = 'stop' | 'archive' | 'destroy';
export type Due = Sandbox & { readonly action: DueAction; readonly dueInMs: number };

/**
 * Sandboxes whose clocks ring within the horizon, the most overdue first. wire: auto-stop counts the time since the last
 * activity of a started sandbox; auto-delete that of a stopped one (the stop itself is an activity), 0 minutes included;
 * failed ones are never deleted by it, but one that could not be built goes after a week. Auto-archive counts the time stopped as well; whichever is due first wins, and an archived sandbox is never auto-deleted. The end of life (`autoDestroyAt`) counts in every state and goes before
 * a clock that rang earlier.
 */
const due = (horizonMs: number, limit: number) => plan<Due>('sandbox-due', `
  select ${SANDBOX}, clock.action, (extract(epoch from clock.due_at - now()) * 1000)::float8 as "dueInMs"
  from sandboxes s, lateral (
    select 'destroy' as action, s.auto_destroy_at as due_at, (s.auto_destroy_at > now())::int as later where s.auto_destroy_at is not null
    union all
    select case when s.auto_delete_interval = 0 then 'destroy' else 'stop' end, s.last_activity_at + s.auto_stop_interval * interval '1 minute', 1
    where s.state = 'started' and s.desired_state = 'started' and s.auto_stop_interval > 0
    union all
    select 'destroy', s.last_activity_at + s.auto_delete_interval * interval '1 minute', 1
    where s.state = 'stopped' and s.desired_state = 'stopped' and s.auto_delete_interval >= 0
    union all
    select 'archive', s.last_activity_at + s.auto_archive_interval * interval '1 minute', 1
    where s.state = 'stopped' and s.desired_state = 'stopped' and s.auto_archive_interval > 0 and s.auto_delete_interval <> 0
    union all
    select 'destroy', s.state_changed_at + interval '7 days', 1 where s.state = 'build_failed' and s.desired_state <> 'destroyed'
    order by 3, 2 limit 1
  ) clock
  where s.state not in ('destroyed', 'destroying') and s.organization_id <> '${NO_ORGANIZATION}'
    and clock.due_at <= now() + $1 * interval '1 millisecond'
  order by clock.due_at limit $2`, [horizonMs, limit]);

const flush = (ids: readonly string[], times: readonly Date[]) => plan('sandbox-activity', `
  update sandboxes s set last_activity_at = used.at
  from unnest($1::uuid[], $2::timestamptz[]) as used (id, at)
  where s.id = used.id and s.last_activity_at < used.at and s.state <> 'destroyed'`, [ids, times]);

/**
 * wire: a destroyed row is kept for a day. A preview token is kept an hour after its end, for browsers that entered in
 * time; an outbox row ten minutes, which is longer than any process takes to look for what it missed.
 */
const PURGES = [
  plan('sandbox-purge', `delete from sandboxes where state = 'destroyed' and state_changed_at < now() - interval '24 hours'`),
  plan('preview-token-purge', `delete from signed_preview_tokens where expires_at < now() - interval '1 hour'`),
  plan('ssh-access-purge', 'delete from ssh_accesses where expires_at < now()'),
  plan('outbox-purge', `delete from outbox where published_at is not null and created_at < now() - interval '10 minutes'`),
];

export class ClockStore {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  due(horizonMs: number, limit: number): Promise<Due[]> {
    return this.#db.query(due(horizonMs, limit));
  }

  async flushActivity(ids: readonly string[], times: readonly Date[]): Promise<void> {
    await this.#db.run(flush(ids, times));
  }

  async purge(): Promise<void> {
    for (const statement of PURGES) await this.#db.run(statement);
  }
}
