import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { ConnectionSettings } from './database.ts';
import { DatabaseUnavailable, isConnectionLoss, LockTimeout } from './errors.ts';
import { reconnecting, type Reconnecting } from './reconnecting.ts';

export interface LockOptions {
  /** Longest wait for the lock, not for the work. Default 30 s. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * Named locks: a queue in this process, then a session-level advisory lock in PostgreSQL against the other control planes.
 * All advisory locks of a process live in one session: it is never blocked (`pg_try_advisory_lock`), and when it dies
 * PostgreSQL frees every lock of the process at once, so nothing stays locked for ever.
 */
export class LockSession {
  readonly #session: Reconnecting;
  readonly #queues = new Map<string, Promise<void>>();
  #turn: Promise<void> = Promise.resolve();
  /** Aborted and replaced when the session is lost. */
  #alive = new AbortController();

  constructor(settings: ConnectionSettings, log: Logger) {
    this.#session = reconnecting({ ...settings, application_name: 'paddock-locks' }, log, {
      onLost: () => {
        const lost = this.#alive;
        this.#alive = new AbortController();
        lost.abort(new DatabaseUnavailable('The lock session was lost'));
      },
    });
  }

  async withLock<T>(name: string, work: (signal: AbortSignal) => Promise<T>, options: LockOptions = {}): Promise<T> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const deadline = performance.now() + timeoutMs;
    const leave = await this.#enter(name, timeoutMs);
    try {
      const signal = await this.#acquire(name, deadline, timeoutMs);
      try {
        return await work(signal);
      } finally {
        this.#release(name, signal);
      }
    } finally {
      leave();
    }
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  /** Waits for the turn in this process. @returns ends the turn */
  async #enter(name: string, timeoutMs: number): Promise<() => void> {
    const before = this.#queues.get(name);
    let leave!: () => void;
    const turn = new Promise<void>((resolve) => { leave = resolve; });
    const tail = before ? before.then(() => turn) : turn;
    this.#queues.set(name, tail);
    void tail.then(() => {
      if (this.#queues.get(name) === tail) this.#queues.delete(name);
    });
    if (!before) return leave;
    const timer = new AbortController();
    const late = sleep(timeoutMs, 'late' as const, { signal: timer.signal, ref: false }).catch(() => 'late' as const);
    const first = await Promise.race([before.then(() => 'mine' as const), late]);
    timer.abort();
    if (first === 'mine') return leave;
    leave(); // whoever waits behind us then only waits for those before us
    throw new LockTimeout(name, timeoutMs);
  }

  async #acquire(name: string, deadline: number, timeoutMs: number): Promise<AbortSignal> {
    for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 200)) {
      try {
        const client = await this.#session.client();
        const { signal } = this.#alive;
        const answer = await this.#inTurn(() => client.query<{ locked: boolean }>({
          name: 'lock', text: 'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked', values: [name],
        }));
        if (signal.aborted) throw signal.reason;
        if (answer.rows[0]?.locked) return signal;
      } catch (error) {
        if (!isConnectionLoss(error)) throw error;
        if (performance.now() + pauseMs > deadline) throw new DatabaseUnavailable('The database does not answer', { cause: error });
      }
      if (performance.now() + pauseMs > deadline) throw new LockTimeout(name, timeoutMs);
      await sleep(pauseMs);
    }
  }

  /** The driver wants one statement at a time on a connection. */
  #inTurn<T>(statement: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(statement);
    this.#turn = result.then(() => undefined, () => undefined);
    return result;
  }

  /** Not awaited: the session runs statements in order, so a later lock of the same name comes after it. */
  #release(name: string, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#session.client()
      .then((client) => this.#inTurn(async () => {
        if (!signal.aborted) await client.query({ name: 'unlock', text: 'SELECT pg_advisory_unlock(hashtextextended($1, 0))', values: [name] });
      }))
      .catch(() => undefined); // A lost session has freed it.
  }
}
