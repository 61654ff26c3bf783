import type { Logger } from 'pino';
import type { Activity } from './activity.ts';
import type { ClockStore, Due } from './clock-store.ts';
import { newArchive, releasedName } from './sandbox.ts';
import type { SandboxStore } from './store.ts';

/**
 * The longest sleep. Intervals are whole minutes, so what begins after a look cannot ring before the next one; only a
 * changed interval can, and that calls `wake`.
 */
const HORIZON_MS = 60_000;
/** Sandboxes handled by one look. */
const BATCH = 200;
/** Pause after a look at which something rang. */
const RANG_MS = 500;
const PURGE_EVERY_MS = 300_000;

/** Auto-stop, auto-archive, auto-delete and end of life. Sleeps until the next clock rings, as told by the database. */
export class Clocks {
  readonly #deps: { store: SandboxStore; clockStore: ClockStore; activity: Activity; log: Logger };
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | null = null;
  #lookAgain = false;
  #purgedAt = 0;
  #stopped = true;

  constructor(deps: { store: SandboxStore; clockStore: ClockStore; activity: Activity; log: Logger }) {
    this.#deps = deps;
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  /** An interval changed: look now. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#looking = this.#look()
      .catch((error: unknown) => {
        this.#deps.log.warn({ err: error }, 'clocks could not be read');
        return 5_000;
      })
      .then((sleepMs) => {
        this.#looking = null;
        if (this.#stopped) return;
        this.#timer = setTimeout(() => this.wake(), this.#lookAgain ? 0 : sleepMs);
        this.#lookAgain = false;
      });
  }

  /** @returns how long to sleep, in ms */
  async #look(): Promise<number> {
    const { activity, clockStore } = this.#deps;
    await activity.flush();
    const found = await clockStore.due(HORIZON_MS, BATCH);
    const rung = found.filter((sandbox) => sandbox.dueInMs <= 0);
    for (const sandbox of rung) await this.#ring(sandbox);
    if (Date.now() - this.#purgedAt > PURGE_EVERY_MS) {
      await clockStore.purge();
      this.#purgedAt = Date.now();
    }
    // What rang has other clocks now.
    if (rung.length > 0) return RANG_MS;
    const next = found.find((sandbox) => sandbox.dueInMs > 0);
    return Math.min(HORIZON_MS, Math.max(10, next?.dueInMs ?? HORIZON_MS));
  }

  async #ring({ action, dueInMs, ...sandbox }: Due): Promise<void> {
    const used = this.#deps.activity.since(sandbox.id);
    if (used && action === 'stop') return; // used while we read: the next look counts from there
    const patch = action === 'destroy' ? { name: releasedName(sandbox.name) } : action === 'archive' ? newArchive() : {};
    const moved = await this.#deps.store.move(sandbox, action, patch);
    if (moved) this.#deps.log.info({ sandboxId: sandbox.id, action, overdueMs: Math.round(-dueInMs) }, 'clock rang');
  }
}
