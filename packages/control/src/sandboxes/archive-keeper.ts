import type { Logger } from 'pino';
import type { ObjectStore } from '../object-storage/index.ts';
import { archivePrefix } from './disk-steps.ts';
import type { ArchiveStore } from './archive-store.ts';

/** For what nobody told us of: rows that another process wrote, objects that could not be removed. */
const EVERY_MS = 60_000;

/** What a transfer that was cut off was sending at that moment arrives within this, as a rule; what comes later is found by the next looks. */
const SOON_MS = 3_000;

const PAGE = 1_000;

/** Removes archives that no sandbox refers to any more. Only ever what the table names, and its rows go last. */
export class ArchiveKeeper {
  readonly #deps: { readonly store: ArchiveStore; readonly objects: Pick<ObjectStore, 'blobs'>; readonly log: Logger };
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #collecting: Promise<void> | null = null;
  #again = false;
  #stopped = true;

  constructor(deps: { readonly store: ArchiveStore; readonly objects: Pick<ObjectStore, 'blobs'>; readonly log: Logger }) {
    this.#deps = deps;
  }

  start(): void {
    this.#stopped = false;
    this.#timer = setInterval(() => this.wake(), EVERY_MS);
    this.wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    await this.#collecting;
  }

  /** A sandbox may have let go of its archive. Returns at once. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#collecting) {
      this.#again = true;
      return;
    }
    this.#collecting = this.#collect()
      .catch((error: unknown) => this.#deps.log.warn({ err: error }, 'unused archives could not be removed; tried again later'))
      .finally(() => {
        this.#collecting = null;
        const again = this.#again;
        this.#again = false;
        if (again) this.wake();
      });
  }

  async #collect(): Promise<void> {
    const { store, log } = this.#deps;
    const empty: string[] = [];
    for (const id of await store.unused()) {
      if (this.#stopped) return;
      const removed = await this.#empty(archivePrefix(id));
      await store.emptied(id);
      if (removed === 0) empty.push(id);
      else log.info({ archiveId: id, objects: removed }, 'archive removed');
      if (removed > 0) this.#lookAgain();
    }
    await store.forget(empty);
  }

  #lookAgain(): void {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.wake(), SOON_MS);
  }

  async #empty(prefix: string): Promise<number> {
    const blobs = this.#deps.objects.blobs();
    let removed = 0;
    for (;;) {
      const page = await blobs.list(prefix, { limit: PAGE });
      for (const { key } of page.blobs) await blobs.remove(key);
      removed += page.blobs.length;
      if (page.next === null || page.blobs.length === 0) return removed;
    }
  }
}
