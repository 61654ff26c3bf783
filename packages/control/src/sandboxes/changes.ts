import type { Change } from './store.ts';
import type { Sandbox } from './sandbox.ts';

export type ChangeListener = (change: Change) => void;

/**
 * Where committed changes of sandboxes are told inside this process: to the publisher of events, the gateway's cache, the
 * reconciler, and requests that wait for an outcome. Nothing is told before its commit.
 */
export class Changes {
  readonly #listeners = new Set<ChangeListener>();
  readonly #onError: (error: unknown) => void;
  readonly #waiting = new Map<string, Set<(sandbox: Sandbox) => void>>();

  /** @param onError a listener failed; the change is committed and the others are told all the same */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** @returns unsubscribe */
  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  publish(change: Change): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#onError(error);
      }
    }
    for (const tell of this.#waiting.get(change.sandbox.id) ?? []) tell(change.sandbox);
  }

  /**
   * The first committed version of the sandbox from now on that is an outcome. Call it before the change is set going.
   * @param timeoutMs after which the result is null
   * @param signal the caller has lost interest
   */
  next(id: string, isOutcome: (sandbox: Sandbox) => boolean, timeoutMs: number, signal?: AbortSignal): Promise<Sandbox | null> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set();
      this.#waiting.set(id, waiting);
      const done = (sandbox: Sandbox | null) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
        waiting.delete(tell);
        if (waiting.size === 0) this.#waiting.delete(id);
        resolve(sandbox);
      };
      const giveUp = () => done(null);
      const tell = (sandbox: Sandbox) => { if (isOutcome(sandbox)) done(sandbox); };
      const timer = setTimeout(giveUp, timeoutMs);
      signal?.addEventListener('abort', giveUp);
      waiting.add(tell);
    });
  }
}
