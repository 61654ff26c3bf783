import type { Logger } from 'pino';
import type { ClockStore } from './clock-store.ts';

/** wire: the effect of activity is throttled to one write in five seconds per sandbox. All of them share one statement. */
const FLUSH_MS = 5_000;

/** Last use of sandboxes, kept in memory and written together: traffic must not cost a write for each request. */
export class Activity {
  readonly #store: ClockStore;
  readonly #log: Logger;
  #pending = new Map<string, Date>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: ClockStore, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  touch(sandboxId: string): void {
    this.#pending.set(sandboxId, new Date());
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  /** Use that is not in the row yet. */
  since(sandboxId: string): Date | undefined {
    return this.#pending.get(sandboxId);
  }

  /** Writes what is known. What could not be written is kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#pending;
    if (batch.size === 0) return;
    this.#pending = new Map();
    try {
      await this.#store.flushActivity([...batch.keys()], [...batch.values()]);
    } catch (error) {
      this.#log.debug({ err: error }, 'activity could not be written');
      this.#pending = new Map([...batch, ...this.#pending]);
      this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
    }
  }
}
