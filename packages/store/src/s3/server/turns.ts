/**
 * Requests under way for one scope; more wait for their turn, in order. Each holds up to a megabyte of buffers, so this bounds what one
 * organization makes the server hold, and leaves the others their own.
 */
const AT_ONCE = 64;

export class Turns {
  readonly #scopes = new Map<string, { running: number; readonly waiting: (() => void)[] }>();

  async run<T>(scope: string, work: () => Promise<T>): Promise<T> {
    const mine = this.#scopes.get(scope) ?? { running: 0, waiting: [] };
    this.#scopes.set(scope, mine);
    if (mine.running >= AT_ONCE) await new Promise<void>((resolve) => mine.waiting.push(resolve));
    else mine.running += 1;
    try {
      return await work();
    } finally {
      const next = mine.waiting.shift();
      if (next) next(); // takes over the place
      else if (--mine.running === 0) this.#scopes.delete(scope);
    }
  }
}
