import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Database } from '../db/index.ts';
import { releasedName, type Changes, type NewSandbox, type Sandbox, type SandboxStore } from '../sandboxes/index.ts';
import { WarmStore } from './store.ts';

/**
 * A refill takes most of a core for a tenth of a second, so it waits until nobody has created anything for this long:
 * longer than the time between a create and the client's first command, which it would slow down.
 */
const QUIET_MS = 150;
/** Under a steady stream of creates there is never quiet; a refill that waited for this long is made between two of them. */
const STARVED_MS = 1_000;
/** After a refill that failed; doubles with each further one. Each leaves a row for a day, and no room does not pass quickly. */
const FAILURE_PAUSE_MS = 5_000;
const LONGEST_FAILURE_PAUSE_MS = 120_000;
/** The pool is counted this often even when nobody asks, for sandboxes that died while they waited. */
const CHECK_MS = 30_000;
/** As long as a create may take in all. */
const START_LIMIT_MS = 130_000;

/** What decides whether a waiting sandbox is what a request wants. */
export type WarmKind = Pick<NewSandbox, 'image' | 'entrypoint' | 'osUser' | 'cpu' | 'memory' | 'disk' | 'regionId'>;

export function warmKeyOf(kind: WarmKind): string {
  const { image, entrypoint, osUser, cpu, memory, disk, regionId } = kind;
  return createHash('sha256').update(JSON.stringify([image, entrypoint, osUser, cpu, memory, disk, regionId])).digest('hex').slice(0, 32);
}

export interface WarmPoolDeps {
  readonly db: Database;
  readonly store: SandboxStore;
  readonly changes: Changes;
  /** Snapshot name → sandboxes to keep ready. */
  readonly sizes: Readonly<Record<string, number>>;
  /** A row for one more sandbox of the snapshot, without an owner; null while the snapshot cannot be used. */
  readonly prepare: (snapshot: string) => Promise<NewSandbox | null>;
  readonly log: Logger;
}

/**
 * Keeps sandboxes started for whoever comes next. They are ordinary rows that belong to nobody: the reconciler starts them,
 * a claim gives one away in a single statement (`SandboxStore.claim`), and what the pool no longer wants it destroys.
 * Refills run one at a time, and only when nobody else is creating anything.
 */
export class WarmPool {
  readonly #deps: WarmPoolDeps;
  readonly #store: WarmStore;
  readonly #enabled: boolean;
  #inFlight = 0;
  #lastCreateAt = -Infinity;
  #filling: Promise<void> | null = null;
  #fillAgain = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #stop = new AbortController();

  constructor(deps: WarmPoolDeps) {
    this.#deps = deps;
    this.#store = new WarmStore(deps.db);
    this.#enabled = Object.values(deps.sizes).some((size) => size > 0);
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), CHECK_MS).unref();
    this.wake();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#timer);
    await this.#filling;
  }

  /** Whether it is worth a statement to look for a waiting sandbox. */
  serves(snapshot: string): boolean {
    return (this.#deps.sizes[snapshot] ?? 0) > 0;
  }

  /** Runs a user's create; refills keep out of its way. */
  async whileCreating<T>(create: () => Promise<T>): Promise<T> {
    this.#inFlight++;
    try {
      return await create();
    } finally {
      this.#inFlight--;
      this.#lastCreateAt = performance.now();
      if (this.#enabled) this.wake();
    }
  }

  /** The pool may be short: a sandbox was claimed, died, or an image became ready. Returns at once. */
  wake(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#filling) {
      this.#fillAgain = true;
      return;
    }
    this.#filling = this.#fill()
      .catch((error: unknown) => this.#deps.log.warn({ err: error }, 'warm pool could not be filled'))
      .then(() => {
        this.#filling = null;
        if (!this.#fillAgain) return;
        this.#fillAgain = false;
        this.wake();
      });
  }

  async #fill(): Promise<void> {
    for (let pauseMs = FAILURE_PAUSE_MS; ;) {
      this.#fillAgain = false;
      await this.#turn();
      if (this.#stop.signal.aborted) return;
      // Counted and inserted under one lock: two control planes fill one pool.
      const added = await this.#deps.db.withLock('warm-pool', () => this.#addOne());
      if (!added) return;
      const sandbox = await added.outcome;
      if (sandbox?.state === 'started') {
        pauseMs = FAILURE_PAUSE_MS;
        continue;
      }
      await this.#pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, LONGEST_FAILURE_PAUSE_MS);
    }
  }

  /** Waits until a refill disturbs nobody. */
  async #turn(): Promise<void> {
    const since = performance.now();
    while (!this.#stop.signal.aborted) {
      const now = performance.now();
      const quiet = now - this.#lastCreateAt >= QUIET_MS;
      const starved = now - since >= STARVED_MS;
      if (this.#inFlight === 0 && (quiet || starved)) return;
      await this.#pause(20);
    }
  }

  /** Destroys what does not belong and begins one sandbox that is missing. @returns null when none is */
  async #addOne(): Promise<{ readonly outcome: Promise<Sandbox | null> } | null> {
    const { store, changes, sizes, prepare } = this.#deps;
    const waiting = await this.#store.waiting();
    const wanted = new Map<string, { sandbox: NewSandbox; missing: number }>();
    for (const [snapshot, size] of Object.entries(sizes)) {
      const sandbox = size > 0 ? await prepare(snapshot) : null;
      if (sandbox?.warmKey) wanted.set(sandbox.warmKey, { sandbox, missing: size });
    }
    for (const row of waiting) {
      const kind = wanted.get(row.warmKey ?? '');
      const usable = row.state === 'started' || row.state === 'creating';
      if (kind && usable && kind.missing > 0) kind.missing--;
      else await store.move(row, 'destroy', { name: releasedName(row.name), warmKey: null });
    }
    const next = [...wanted.values()].filter(({ missing }) => missing > 0).sort((a, b) => b.missing - a.missing)[0];
    if (!next) return null;
    const outcome = changes.next(next.sandbox.id, (row) => row.state !== 'creating', START_LIMIT_MS, this.#stop.signal);
    await store.insert(next.sandbox);
    return { outcome };
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined); // stopping
  }
}
