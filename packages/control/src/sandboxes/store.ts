import { createHash } from 'node:crypto';
import type { VolumeMount } from '@paddock/contract';
import { COLUMNS, SANDBOX, toColumn } from './columns.ts';
import { NO_ORGANIZATION, type NewSandbox, type Sandbox } from './sandbox.ts';
import { INITIAL, MOVES, PENDING_STATES, stateAfter, type Trigger } from './states.ts';
import { plan, uniqueViolation, type Queryable } from '../db/index.ts';
import { VOLUMES_READY } from '../volumes/index.ts';

/** A committed change, with the events that were written into the outbox by the same transaction. */
export interface Change {
  readonly sandbox: Sandbox;
  /** The row as it was decided on; absent for an insert. */
  readonly before?: Sandbox;
  readonly events: readonly OutboxEntry[];
}

export interface OutboxEntry {
  readonly id: number;
  readonly event: string;
  readonly detail: Readonly<Record<string, string>>;
}

/** Columns that a move may set besides the state. */
export type MovePatch = Partial<Pick<
  Sandbox, 'errorReason' | 'recoverable' | 'forceStop' | 'runnerId' | 'daemonVersion' | 'authToken' | 'name' | 'warmKey' | 'osUser'
  | 'archiveId' | 'archive' | 'backupState' | 'backupCreatedAt' | 'resizeTo' | 'cpu' | 'memory' | 'disk' | 'diskGrownPercent'
>>;

/** Columns that change without a move: no revision, no event. */
export type FieldPatch = Partial<Pick<
  Sandbox,
  | 'labels' | 'public' | 'autoStopInterval' | 'autoArchiveInterval' | 'autoDeleteInterval' | 'autoDestroyAt' | 'networkBlockAll' | 'networkAllowList'
  | 'signingKey'
>>;

/** What a claim writes into a warm row. */
export type Claim = Pick<
  Sandbox,
  | 'organizationId' | 'labels' | 'env' | 'public' | 'autoStopInterval' | 'autoArchiveInterval' | 'autoDeleteInterval' | 'autoDestroyAt' | 'networkBlockAll'
  | 'networkAllowList' | 'volumes'
> & {
  readonly name: string | null;
  readonly warmKey: string;
  /** Env or network differ from what the sandbox has: it is `starting` until the runner has applied them. */
  readonly adapt: boolean;
};

export const VOLUME_GONE = Symbol('a volume is no longer ready');
export const NAME_TAKEN = Symbol('another sandbox of the organization has the name');

type Row = Sandbox & { readonly events: OutboxEntry[] };

/**
 * All SQL that reads or writes single sandboxes. Each write is one statement, hence one transaction and one round trip,
 * and is told to `onCommit` after the database confirmed it.
 */
export class SandboxStore {
  readonly #db: Queryable;
  readonly #origin: string;
  readonly #onCommit: (change: Change) => void;

  /** @param origin UUID of this process, written into its outbox rows */
  constructor(db: Queryable, origin: string, onCommit: (change: Change) => void) {
    this.#db = db;
    this.#origin = origin;
    this.#onCommit = onCommit;
  }

  /** Volumes of the sandbox that are not ready, or not its organization's, keep it from being inserted. */
  async insert(sandbox: NewSandbox, initial: Pick<Sandbox, 'state' | 'desiredState'> = INITIAL): Promise<Sandbox | typeof NAME_TAKEN | typeof VOLUME_GONE> {
    const values: Record<string, unknown> = { ...sandbox, ...initial };
    const fields = Object.keys(values).toSorted() as (keyof Sandbox)[];
    const given = fields.map((_, i) => `$${i + 2}`).join(', ');
    const volumeIds = idsOf(sandbox.volumes);
    const held = volumeIds.length > 0 && VOLUMES_READY(`$${fields.length + 2}`, `$${fields.indexOf('organizationId') + 2}::uuid`);
    const text = `
      with ${held ? `held as (${held}), ` : ''} s as (
        insert into sandboxes (${fields.map((field) => COLUMNS[field]).join(', ')})
        ${held ? `select ${given} where (select count(*) from held) = $${fields.length + 3}` : `values (${given})`} returning *
      ), told as (
        insert into outbox (organization_id, event, subject_id, origin)
        select s.organization_id, 'sandbox.created', s.id, $1 from s where s.organization_id <> '${NO_ORGANIZATION}'
        returning id, event, detail
      )
      select ${SANDBOX}, ${TOLD} from s`;
    return unlessNameTaken(async () => {
      const row = await this.#write(held ? 'sandbox-insert-volumes' : 'sandbox-insert', text, [
        this.#origin, ...fields.map((field) => toColumn(field, values[field])), ...(held ? [volumeIds, volumeIds.length] : []),
      ]);
      if (!row) return VOLUME_GONE;
      return this.#committed(row);
    });
  }

  /**
   * Makes a move of the table if the row still is what the caller decided on.
   * @returns the row after it, or null when the row has moved on meanwhile (or is gone)
   */
  async move(before: Sandbox, trigger: Trigger, patch: MovePatch = {}): Promise<Sandbox | null> {
    const { from, desired } = MOVES[trigger];
    if (!from.includes(before.state)) return null;
    const desiredState = desired === 'keep' ? before.desiredState : desired;
    const to = stateAfter(trigger, desiredState);
    const fields = Object.keys(patch) as (keyof MovePatch)[];
    const opensArchive = typeof patch.archiveId === 'string';
    const text = `
      with s as (
        update sandboxes set state = $4, desired_state = $5, revision = revision + 1,
          updated_at = now(), state_changed_at = now(), last_activity_at = now()
          ${fields.map((field, i) => `, ${COLUMNS[field]} = $${i + 9}`).join('')}
        where id = $2 and revision = $3 returning *
      ), told as (
        insert into outbox (organization_id, event, subject_id, origin, detail)
        select s.organization_id, e.event, s.id, $1, e.detail
        from s, unnest($6::text[], $7::jsonb[]) as e (event, detail) where s.organization_id <> $8
        returning id, event, detail
      )${opensArchive ? ', opened as (insert into archives (id, sandbox_id) select archive_id, id from s on conflict do nothing)' : ''}
      select ${SANDBOX}, ${TOLD} from s`;
    const events = eventsOf(before, to, desiredState);
    const row = await this.#write(statementName('sandbox-move', `${fields.join()}${opensArchive ? ' archive' : ''}`), text, [
      this.#origin, before.id, before.revision, to, desiredState,
      events.map(([event]) => event), events.map(([, detail]) => JSON.stringify(detail)), NO_ORGANIZATION,
      ...fields.map((field) => toColumn(field, patch[field])),
    ]);
    return row ? this.#committed(row, before) : null;
  }

  async change(id: string, patch: FieldPatch): Promise<Sandbox | null> {
    const fields = Object.keys(patch) as (keyof FieldPatch)[];
    const row = await this.#write(`sandbox-change ${fields.join()}`, `
      with s as (
        update sandboxes set updated_at = now() ${fields.map((field, i) => `, ${COLUMNS[field]} = $${i + 2}`).join('')}
        where id = $1 and state <> 'destroyed' returning *
      )
      select ${SANDBOX}, '[]'::json as events from s`,
    [id, ...fields.map((field) => toColumn(field, patch[field]))]);
    return row ? this.#committed(row) : null;
  }

  /** The key of signed file URLs; the first one asked for is kept. */
  async ensureSigningKey(id: string, candidate: string): Promise<string | null> {
    const row = await this.#write('sandbox-signing-key', `
      with s as (update sandboxes set signing_key = coalesce(signing_key, $2) where id = $1 and state <> 'destroyed' returning *)
      select ${SANDBOX}, '[]'::json as events from s`, [id, candidate]);
    return row ? this.#committed(row).signingKey : null;
  }

  /**
   * Gives a started warm sandbox that matches to its owner. Rows that another claim holds are skipped, so two claims never
   * get the same one and never wait for each other. wire: an event started→started, none that it was created. One that is to be
   * adapted is pending instead, so that the reconciler applies what its owner asked for even if this process dies here.
   */
  async claim(claim: Claim): Promise<Sandbox | typeof NAME_TAKEN | null> {
    const volumeIds = idsOf(claim.volumes);
    const text = `
      with held as (${VOLUMES_READY('$15', '$3::uuid')}), candidate as (
        select id from sandboxes
        where warm_key = $2 and organization_id = '${NO_ORGANIZATION}' and state = 'started' and desired_state = 'started'
          and ($16 = 0 or (select count(*) from held) = $16)
        order by created_at for update skip locked limit 1
      ), s as (
        update sandboxes set organization_id = $3, name = coalesce($4, sandboxes.name), labels = $5, env = $6, public = $7,
          auto_stop_interval = $8, auto_archive_interval = $9, auto_delete_interval = $10, auto_destroy_at = $11,
          network_block_all = $12, network_allow_list = $13, state = $14, volumes = $17, warm_key = null, revision = revision + 1,
          created_at = now(), updated_at = now(), state_changed_at = now(), last_activity_at = now()
        from candidate where sandboxes.id = candidate.id returning sandboxes.*
      ), told as (
        insert into outbox (organization_id, event, subject_id, origin, detail)
        select s.organization_id, 'sandbox.state.updated', s.id, $1, json_build_object('oldState', 'started', 'newState', s.state) from s
        returning id, event, detail
      )
      select ${SANDBOX}, ${TOLD} from s`;
    return unlessNameTaken(async () => {
      const row = await this.#write('sandbox-claim', text, [
        this.#origin, claim.warmKey, claim.organizationId, claim.name, JSON.stringify(claim.labels), JSON.stringify(claim.env), claim.public,
        claim.autoStopInterval, claim.autoArchiveInterval, claim.autoDeleteInterval, claim.autoDestroyAt, claim.networkBlockAll, claim.networkAllowList,
        stateAfter(claim.adapt ? 'claimUnready' : 'claim', 'started'), volumeIds, volumeIds.length, JSON.stringify(claim.volumes),
      ]);
      return row ? this.#committed(row) : null;
    });
  }

  /** Any row, also a destroyed one. */
  async byId(id: string): Promise<Sandbox | null> {
    return this.#db.one(plan<Sandbox>('sandbox-by-id', `select ${SANDBOX} from sandboxes s where id = $1`, [id]));
  }

  /** wire: the id first, then the name, within the organization; destroyed ones are not found. */
  async find(organizationId: string, idOrName: string): Promise<Sandbox | null> {
    const text = `
      select ${SANDBOX} from sandboxes s where organization_id = $1 and (id = $2 or name = $3) and state <> 'destroyed'
      order by (id = $2) desc nulls last limit 1`;
    return this.#db.one(plan<Sandbox>('sandbox-find', text, [organizationId, isUuid(idOrName) ? idOrName : null, idOrName]));
  }

  /** Ids of rows whose work is not done. */
  async pending(): Promise<readonly string[]> {
    const text = `
      select id from sandboxes where state <> 'destroyed' and (
        state in (${PENDING_STATES.map((state) => `'${state}'`).join(', ')}) or desired_state = 'destroyed'
        or (state, desired_state) in (('started', 'stopped'), ('stopped', 'started')))`;
    return (await this.#db.query(plan<{ id: string }>('sandbox-pending', text))).map(({ id }) => id);
  }

  /** Ids of sandboxes that cannot go on without the image. */
  async waitingFor(image: string): Promise<readonly string[]> {
    const text = `select id from sandboxes where image = $1 and state in ('pending_build', 'building_snapshot', 'pulling_snapshot', 'archiving', 'restoring')`;
    return (await this.#db.query(plan<{ id: string }>('sandbox-waiting-for-image', text, [image]))).map(({ id }) => id);
  }

  /** State of every row that may have something on the runner. */
  async inventory(): Promise<ReadonlyArray<Pick<Sandbox, 'id' | 'state'>>> {
    return this.#db.query(plan<Pick<Sandbox, 'id' | 'state'>>(
      'sandbox-inventory', `select id, state from sandboxes where state not in ('destroyed', 'archived')`,
    ));
  }

  #write(name: string, text: string, values: unknown[]): Promise<Row | null> {
    return this.#db.one(plan<Row>(name, text, values));
  }

  #committed({ events, ...sandbox }: Row, before?: Sandbox): Sandbox {
    this.#onCommit(before ? { sandbox, before, events } : { sandbox, events });
    return sandbox;
  }
}

const TOLD = `(select coalesce(json_agg(told order by told.id), '[]'::json) from told) as events`;

function idsOf(mounts: readonly VolumeMount[]): string[] {
  return [...new Set(mounts.map(({ volumeId }) => volumeId))];
}

/** PostgreSQL cuts names of statements off at 63 bytes, and two that are then alike would be taken for one. */
const MAX_NAME = 63;

function statementName(what: string, variant: string): string {
  const name = `${what} ${variant}`;
  return name.length <= MAX_NAME ? name : `${what} ${createHash('sha256').update(variant).digest('hex').slice(0, 32)}`;
}

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);
}

/** wire: raw states here; the sandbox inside the message shows the derived one. */
function eventsOf(before: Sandbox, newState: string, newDesiredState: string): ReadonlyArray<readonly [string, Record<string, string>]> {
  const state = ['sandbox.state.updated', { oldState: before.state, newState }] as const;
  const desired = ['sandbox.desired-state.updated', { oldDesiredState: before.desiredState, newDesiredState }] as const;
  return before.desiredState === newDesiredState ? [state] : [desired, state];
}

async function unlessNameTaken<T>(write: () => Promise<T>): Promise<T | typeof NAME_TAKEN> {
  try {
    return await write();
  } catch (error) {
    if (uniqueViolation(error) === 'sandboxes_name') return NAME_TAKEN;
    throw error;
  }
}
