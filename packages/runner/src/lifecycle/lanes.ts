/** Order among operations: one at a time for each sandbox, a bounded number of costly ones at a time on the machine. */

interface Pending {
  readonly key: string;
  readonly result: Promise<unknown>;
}

export class Lanes {
  readonly #last = new Map<string, Pending>();

  /**
   * Runs `task` after everything asked for this id before. When the latest operation asked for and not yet done has the
   * same `key`, it is the same wish: its result is shared.
   */
  run<T>(id: string, key: string, task: () => Promise<T>): Promise<T> {
    const last = this.#last.get(id);
    if (last?.key === key) return last.result as Promise<T>;
    const before = last === undefined ? Promise.resolve() : last.result.catch(() => {});
    const result = before.then(task);
    const pending: Pending = { key, result };
    this.#last.set(id, pending);
    const forget = (): void => {
      if (this.#last.get(id) === pending) this.#last.delete(id);
    };
    result.then(forget, forget);
    return result;
  }

  /** Resolves when nothing is in progress. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled([...this.#last.values()].map((pending) => pending.result));
  }
}

/** Lets `most` tasks run at a time; the others wait in the order they came. */
export class Gate {
  #free: number;
  readonly #waiting: Array<() => void> = [];

  constructor(most: number) {
    this.#free = most;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
