import { setTimeout as sleep } from 'node:timers/promises';

/** One run of a program. */
export interface Run {
  readonly pid: number;
  /** Resolves when it serves; rejects when it ended before. */
  readonly ready: Promise<void>;
  /** How it ended, in words. */
  readonly exited: Promise<string>;
  /** Asks it to stop and resolves when it is gone; kills it when it takes too long. */
  stop(): Promise<void>;
  kill(): void;
}

/** It cannot start and trying again will not help. */
export class Refused extends Error {}

export interface KeptAliveOptions {
  readonly name: string;
  readonly launch: () => Promise<Run> | Run;
  /** A run began or ended. */
  readonly onChange?: (event: { readonly what: 'started' | 'ready' | 'ended'; readonly pid: number; readonly reason?: string; readonly delayMs?: number }) => void;
  readonly delaysMs?: readonly number[];
}

/**
 * Waits before the next start, by the number of runs in a row that ended young. A crash after a good while is followed
 * by a new start at once; a program that cannot live costs little.
 */
const DELAYS_MS = [0, 100, 300, 1_000, 3_000, 5_000];

/** A run at least this long makes the earlier crashes forgotten. */
const GOOD_RUN_MS = 10_000;

/** A program that never served is given up after so many runs: the reason is in its log, not in the next try. */
const FIRST_TRIES = 3;

/** Runs a program for as long as the supervisor lives: what ends without being asked to is started again. */
export class KeptAlive {
  readonly name: string;
  readonly #options: KeptAliveOptions;
  #run: Run | null = null;
  #stopping = new AbortController();
  #everReady = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: KeptAliveOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Pid of the present run, null between two runs. */
  get pid(): number | null {
    return this.#run?.pid ?? null;
  }

  /** Resolves when the first run serves, rejects when it is given up. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#loop = this.#keep(resolve, reject);
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#run?.stop();
    await this.#loop;
  }

  /** Ends it without asking. */
  kill(): void {
    this.#stopping.abort();
    this.#run?.kill();
  }

  async #keep(firstReady: () => void, givenUp: (error: Error) => void): Promise<void> {
    const { signal } = this.#stopping;
    const delays = this.#options.delaysMs ?? DELAYS_MS;
    let young = 0;
    while (!signal.aborted) {
      const startedAt = performance.now();
      const failure = await this.#once(firstReady);
      if (signal.aborted) break;
      young = performance.now() - startedAt >= GOOD_RUN_MS ? 0 : young + 1;
      if (failure instanceof Refused || (!this.#everReady && young >= FIRST_TRIES)) {
        givenUp(new Error(`${this.name} does not start: ${failure.message}`));
        return;
      }
      const delayMs = delays[Math.min(young === 0 ? 0 : young - 1, delays.length - 1)] ?? 0;
      await sleep(delayMs, undefined, { signal }).catch(() => {});
    }
    givenUp(new Error(`${this.name} was stopped while it started`));
  }

  /** One run from start to end. */
  async #once(firstReady: () => void): Promise<Error> {
    let reason: Error;
    let pid = 0;
    try {
      const run = await this.#options.launch();
      pid = run.pid;
      this.#run = run;
      if (this.#stopping.signal.aborted) void run.stop();
      this.#options.onChange?.({ what: 'started', pid });
      await run.ready;
      this.#everReady = true;
      this.#options.onChange?.({ what: 'ready', pid });
      firstReady();
      reason = new Error(await run.exited);
    } catch (error) {
      reason = error instanceof Error ? error : new Error(String(error));
      await this.#run?.exited;
    }
    this.#run = null;
    if (!this.#stopping.signal.aborted) this.#options.onChange?.({ what: 'ended', pid, reason: reason.message });
    return reason;
  }
}
