/** Work that reads images which must not go meanwhile. */

interface Loan {
  readonly abort: AbortController;
  /** Never rejects. */
  readonly done: Promise<void>;
}

export class Lending {
  readonly #loans = new Map<string, Set<Loan>>();

  async run<T>(name: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    const working = work(AbortSignal.any([signal, abort.signal]));
    const loan: Loan = { abort, done: working.then(() => undefined, () => undefined) };
    const loans = this.#loans.get(name) ?? new Set();
    this.#loans.set(name, loans.add(loan));
    try {
      return await working;
    } finally {
      loans.delete(loan);
      if (loans.size === 0 && this.#loans.get(name) === loans) this.#loans.delete(name);
    }
  }

  /** Aborts what is done with the image. Returns when all of it has ended. */
  async end(name: string, reason: Error): Promise<void> {
    const loans = [...(this.#loans.get(name) ?? [])];
    for (const { abort } of loans) abort.abort(reason);
    await Promise.all(loans.map(({ done }) => done));
  }

  async close(reason: Error): Promise<void> {
    await Promise.all([...this.#loans.keys()].map((name) => this.end(name, reason)));
  }
}
