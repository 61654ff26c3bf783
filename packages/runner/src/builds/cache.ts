/** Keeps the layer caches of organizations in bounds: what nobody builds with goes. */
import { statSync } from 'node:fs';
import type { Logger } from 'pino';
import { INTERNAL_PREFIX, type Sandboxes } from '../lifecycle/sandboxes.ts';
import type { Disks } from '../types.ts';
import type { Turns } from './turns.ts';

export interface CacheParts {
  readonly sandboxes: Pick<Sandboxes, 'listInternal' | 'stop' | 'remove'>;
  readonly disks: Pick<Disks, 'path' | 'usage'>;
  readonly log: Logger;
}

const DAY_MS = 86_400_000;

/** A week without a build: whoever comes back after that builds without a cache. */
const UNUSED_MS = 7 * DAY_MS;

/** Above this share of the pool the least recently used caches go first, whatever their age: sandboxes need the room. */
const FULL = 0.85;

const EVERY_MS = DAY_MS / 4;

export class BuildCaches {
  readonly #parts: CacheParts;
  readonly #turns: Turns;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: CacheParts, turns: Turns) {
    this.#parts = parts;
    this.#turns = turns;
  }

  /** Ends what builds of an earlier runner have left running. */
  async open(): Promise<void> {
    const { sandboxes, log } = this.#parts;
    await Promise.all(sandboxes.listInternal().map(async ({ id, state }) => {
      try {
        if (state === 'started') await sandboxes.stop(id, { force: true });
        if (state === 'broken') await sandboxes.remove(id);
      } catch (error) {
        log.error({ id, err: error }, 'a build sandbox of an earlier runner cannot be ended');
      }
    }));
    await this.collect();
    this.#timer = setInterval(() => void this.collect(), EVERY_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async collect(): Promise<void> {
    const { sandboxes, disks, log } = this.#parts;
    const idle = sandboxes.listInternal()
      .filter(({ id, state }) => state !== 'started')
      .map(({ id }) => ({ id, usedAt: statSync(disks.path(id), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
      .sort((a, b) => a.usedAt - b.usedAt);
    for (const { id, usedAt } of idle) {
      try {
        const { usedBytes, totalBytes } = await disks.usage();
        if (Date.now() - usedAt < UNUSED_MS && usedBytes < FULL * totalBytes) return;
        await this.#turns.ifIdle(id.slice(INTERNAL_PREFIX.length), async () => {
          await sandboxes.remove(id);
          log.info({ id, usedAt: new Date(usedAt) }, 'layer cache of builds removed');
        });
      } catch (error) {
        log.error({ id, err: error }, 'a layer cache of builds cannot be removed');
      }
    }
  }
}
