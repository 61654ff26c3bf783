/** Who may build: one build of an organization at a time, and so many on the machine, in the order they came. */

interface Waiting {
  readonly key: string;
  readonly start: () => void;
}

export class Turns {
  readonly #most: number;
  readonly #running = new Set<string>();
  #waiting: Waiting[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(key: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await this.#turn(key, signal);
    try {
      return await task();
    } finally {
      this.#running.delete(key);
      this.#next();
    }
  }

  /** Runs the task at once, as if it were a build, unless one of the same key runs. */
  async ifIdle(key: string, task: () => Promise<void>): Promise<void> {
    if (this.#running.has(key)) return;
    this.#running.add(key);
    try {
      await task();
    } finally {
      this.#running.delete(key);
      this.#next();
    }
  }

  #turn(key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = (): void => {
        this.#waiting = this.#waiting.filter((candidate) => candidate !== waiting);
        reject(signal.reason as Error);
      };
      const waiting: Waiting = {
        key,
        start: () => {
          signal.removeEventListener('abort', abort);
          resolve();
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(waiting);
      this.#next();
    });
  }

  #next(): void {
    for (const waiting of [...this.#waiting]) {
      if (this.#running.size >= this.#most) return;
      if (this.#running.has(waiting.key)) continue;
      this.#waiting = this.#waiting.filter((candidate) => candidate !== waiting);
      this.#running.add(waiting.key);
      waiting.start();
    }
  }
}
