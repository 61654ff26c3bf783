/** Whose turn it is to be fetched and unpacked, of the layers of all images together. */
import { availableParallelism } from 'node:os';

/** A layer whose registry is near keeps a processor busy: more of them at once only get in each other's way. */
const AT_ONCE = Math.min(8, Math.max(2, availableParallelism()));
/** One whose registry is far leaves it waiting, and some registries give each connection little. */
const AT_MOST = Math.max(4, AT_ONCE);
/** Layers that take less from end to end do not wait for the network. */
const PATIENCE_MS = 1_000;

interface Waiting {
  readonly go: () => void;
  impatient: boolean;
}

export class LayerTurns {
  readonly #atOnce: number;
  readonly #atMost: number;
  readonly #patienceMs: number;
  readonly #waiting: Waiting[] = [];
  #running = 0;

  constructor(atOnce = AT_ONCE, atMost = AT_MOST, patienceMs = PATIENCE_MS) {
    this.#atOnce = atOnce;
    this.#atMost = atMost;
    this.#patienceMs = patienceMs;
  }

  /** Waits for its turn no longer than it is wanted; once it runs, its own end is awaited. */
  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    await this.#turn(signal);
    try {
      return await task();
    } finally {
      this.#running -= 1;
      this.#admit();
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { go: resolve, impatient: false };
    const timer = setTimeout(() => {
      waiting.impatient = true;
      this.#admit();
    }, this.#patienceMs);
    const abort = (): void => {
      const at = this.#waiting.indexOf(waiting);
      if (at < 0) return; // it is its turn
      this.#waiting.splice(at, 1);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#waiting.push(waiting);
    this.#admit();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  /** In the order they came. Whoever is admitted counts from here on. */
  #admit(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#running < (first.impatient ? this.#atMost : this.#atOnce); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#running += 1;
      first.go();
    }
  }
}
