import type { Database } from './database.ts';

export interface DrivesInput {
  readonly db: Pick<Database, 'withLock'>;
  /** Name of the lock under which the row is driven: by one at a time, in all control planes. */
  readonly lockOf: (key: string) => string;
  /** Looks at the row and does what it wants. @returns in how many ms to look again, null: when something changes */
  readonly drive: (key: string) => Promise<number | null>;
  /** Tells of what a drive threw. @returns in how many ms to look again */
  readonly failed: (key: string, error: unknown) => number;
}

/** Drives of rows: one a row at a time, once more when it was woken meanwhile, later when it asks for that. */
export class Drives {
  readonly #input: DrivesInput;
  readonly #running = new Map<string, { again: boolean }>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #stopped = false;

  constructor(input: DrivesInput) {
    this.#input = input;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Something about the row changed. Returns at once. */
  wake(key: string): void {
    if (this.#stopped) return;
    const running = this.#running.get(key);
    if (running) {
      running.again = true;
      return;
    }
    const run = { again: false };
    this.#running.set(key, run);
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    const { db, lockOf, drive, failed } = this.#input;
    void db.withLock(lockOf(key), () => drive(key))
      .catch((error: unknown) => failed(key, error))
      .then((pauseMs) => {
        this.#running.delete(key);
        if (run.again) this.wake(key);
        else if (pauseMs !== null && !this.#stopped) this.#timers.set(key, setTimeout(() => this.wake(key), pauseMs).unref());
      });
  }

  /** What a sweep found: those that wait for a time of their own are left to it. */
  wakeUnlessWaiting(key: string): void {
    if (!this.#timers.has(key)) this.wake(key);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
