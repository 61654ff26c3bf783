import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { DatabaseUnavailable, isConnectionLoss, sqlState } from './errors.ts';
import { Listener, type Subscription } from './listener.ts';
import { LockSession, type LockOptions } from './lock-session.ts';
import type { Plan, Queryable } from './plan.ts';

/**
 * Ten connections carry some thousands of short statements a second; every further one costs PostgreSQL about 2 MB and
 * replicas of the control plane share its 100.
 */
const POOL_SIZE = 10;
/**
 * How long a statement waits for PostgreSQL to come back before the caller is told 503. A crashed embedded PostgreSQL
 * serves again in 0.1-1.5 s, so nearly every restart passes unseen; longer would pile up requests behind a dead server.
 */
const PATIENCE_MS = 3000;
/** Statements are point lookups and small pages: one that runs this long is a defect, not load. */
const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * PostgreSQL as the control plane sees it: statements, transactions, notifications and named locks. It comes back by
 * itself after PostgreSQL did. Every failure to reach it is a DatabaseUnavailable.
 */
export class Database implements Queryable {
  readonly #pool: pg.Pool;
  readonly #listener: Listener;
  readonly #locks: LockSession;

  constructor(url: string, log: Logger) {
    const settings = connectionSettings(url);
    this.#pool = new pg.Pool({ ...settings, max: POOL_SIZE, idleTimeoutMillis: 60_000 });
    // An idle connection that breaks is dropped by the pool; the next statement opens another.
    this.#pool.on('error', (error) => log.debug({ err: error }, 'idle database connection lost'));
    // One that breaks while it is lent out but between two statements tells nobody else; the next statement on it fails.
    this.#pool.on('connect', (client) => void client.on('error', () => undefined));
    this.#listener = new Listener(settings, log);
    this.#locks = new LockSession(settings, log);
  }

  async query<Row extends pg.QueryResultRow>(plan: Plan<Row>): Promise<Row[]> {
    return (await this.#execute<Row>(plan)).rows;
  }

  async one<Row extends pg.QueryResultRow>(plan: Plan<Row>): Promise<Row | null> {
    return (await this.#execute<Row>(plan)).rows[0] ?? null;
  }

  async run(plan: Plan): Promise<number> {
    return (await this.#execute(plan)).rowCount ?? 0;
  }

  /**
   * Runs `work` in one transaction (read committed). It is repeated when PostgreSQL resolves a deadlock against it, so it
   * must do nothing but SQL. A connection lost during COMMIT leaves the outcome unknown: DatabaseUnavailable.
   */
  async tx<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const client = await this.#connect();
      let broken: Error | undefined;
      try {
        await client.query('BEGIN');
        const result = await work(queryableOf(client));
        await client.query('COMMIT');
        return result;
      } catch (error) {
        if (isConnectionLoss(error)) broken = error as Error;
        else await client.query('ROLLBACK').catch((failure: Error) => { broken = failure; });
        const deadlock = sqlState(error) === '40P01' || sqlState(error) === '40001';
        if (!deadlock || attempt === 3) throw asUnavailable(error);
      } finally {
        client.release(broken);
      }
    }
  }

  /**
   * Calls `onMessage` for each NOTIFY on the channel. Notifications sent while the connection was down are lost: `onGap`
   * is called after each reconnect, and whoever derives state from messages must look for itself then.
   */
  listen(channel: string, onMessage: (payload: string) => void, onGap?: () => void): Promise<Subscription> {
    return this.#listener.listen(channel, onMessage, onGap);
  }

  /**
   * One holder of `name` at a time in all control planes of this database. Holders in this process queue in order.
   * The signal aborts when the lock's session is lost: the work must then stop or be harmless when repeated elsewhere.
   */
  withLock<T>(name: string, work: (signal: AbortSignal) => Promise<T>, options?: LockOptions): Promise<T> {
    return this.#locks.withLock(name, work, options);
  }

  /** Answers within a second; for readiness. */
  async isUp(): Promise<boolean> {
    const answer = this.#pool.query('SELECT 1').then(() => true, () => false);
    return await Promise.race([answer, sleep(1000, false, { ref: false })]);
  }

  async close(): Promise<void> {
    await Promise.all([this.#listener.close(), this.#locks.close(), this.#pool.end()]);
  }

  async #execute<Row extends pg.QueryResultRow>(plan: Plan<Row>): Promise<pg.QueryResult<Row>> {
    const repeatable = isRead(plan.text);
    for (let attempt = 1; ; attempt++) {
      const client = await this.#connect();
      let broken: Error | undefined;
      try {
        return await client.query<Row>(asQuery(plan));
      } catch (error) {
        if (isConnectionLoss(error)) broken = error as Error;
        // A write may have happened before the connection broke: only its caller knows whether to repeat it.
        // After a crash every idle connection of the pool is dead, and each is only found out by using it.
        if (!broken || !repeatable || attempt > POOL_SIZE) throw asUnavailable(error);
      } finally {
        client.release(broken);
      }
    }
  }

  async #connect(): Promise<pg.PoolClient> {
    const deadline = performance.now() + PATIENCE_MS;
    for (let delayMs = 20; ; delayMs = Math.min(delayMs * 2, 250)) {
      try {
        return await this.#pool.connect();
      } catch (error) {
        if (!isConnectionLoss(error) || performance.now() + delayMs > deadline) throw asUnavailable(error);
        await sleep(delayMs);
      }
    }
  }
}

export type ConnectionSettings = pg.ClientConfig;

function connectionSettings(url: string): ConnectionSettings {
  return {
    connectionString: url,
    application_name: 'paddock',
    connectionTimeoutMillis: PATIENCE_MS,
    keepAlive: true,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    types: { getTypeParser: typeParser },
  };
}

const INT8 = 20;
const NUMERIC = 1700;

/** Counts and sizes fit a double exactly; node-postgres would hand them out as strings. */
function typeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if ((oid === INT8 || oid === NUMERIC) && format !== 'binary') return Number;
  return pg.types.getTypeParser(oid, format as 'text') as (value: string) => unknown;
}

function asQuery(plan: Plan): pg.QueryConfig {
  return { text: plan.text, values: plan.values as unknown[], ...(plan.name ? { name: plan.name } : {}) };
}

function queryableOf(client: pg.PoolClient): Queryable {
  return {
    query: async (plan) => (await client.query(asQuery(plan))).rows,
    one: async (plan) => (await client.query(asQuery(plan))).rows[0] ?? null,
    run: async (plan) => (await client.query(asQuery(plan))).rowCount ?? 0,
  };
}

function isRead(text: string): boolean {
  return /^\s*select\b/i.test(text);
}

function asUnavailable(error: unknown): unknown {
  if (error instanceof DatabaseUnavailable || !isConnectionLoss(error)) return error;
  return new DatabaseUnavailable('The database does not answer', { cause: error });
}
