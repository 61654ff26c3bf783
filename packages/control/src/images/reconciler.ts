import type { RunnerImage } from '@paddock/contract';
import type { Logger } from 'pino';
import { Drives, type Database } from '../db/index.ts';
import type { RunnerClient, RunnerFailure } from '../runners/index.ts';
import { isOrdered, type Image } from './image.ts';
import { GRACE_SECONDS, type Images } from './images.ts';
import { isPublishable } from './publication.ts';
import type { ImageShelf } from './publisher.ts';
import { resolveSource, type SourceDeps } from './sources.ts';
import { allImages, deleteRemoved, knowRecipe, unsettledImages, wantRecipes } from './store.ts';

/** What a killed process or a lost event left behind is looked for this often; normally nothing is found. */
const SWEEP_MS = 10_000;
/** Things that nothing refers to are looked for this often, besides whenever something that could refer to them goes. */
const COLLECT_MS = 60_000;
/** Several things may go at once: one look finds them all. */
const COLLECT_SOON_MS = 50;
/** Pauses after what may pass: 2, 4, 8 and 16 seconds. A registry that is away for longer is an answer. */
const FIRST_RETRY_MS = 2_000;
const ATTEMPTS = 5;
/** What only our own registry has is tried for ever, and no less often than this. */
const LONGEST_RETRY_MS = 60_000;
/** An object store that does not answer is asked again after this. */
const DROP_MS = 5_000;
/** Pause after a step whose outcome is open; the runner client waits for a restart by itself. */
const OPEN_MS = 1_000;

export interface ImageReconcilerDeps extends SourceDeps {
  readonly db: Database;
  readonly images: Images;
  readonly runner: RunnerClient;
  readonly shelf: Pick<ImageShelf, 'drop'>;
  /** Images are being published, so that there may be something of one of which the row knows nothing. */
  readonly publishing: boolean;
  readonly log: Logger;
}

/** Drives the runner's image store to what the rows want. Looks at nothing but row and runner, so it may be killed anywhere. */
export class ImageReconciler {
  readonly #deps: ImageReconcilerDeps;
  readonly #drives: Drives;
  /** Known to be `preparing`: their progress changes nothing. */
  readonly #preparing = new Set<string>();
  #intervals: NodeJS.Timeout[] = [];
  readonly #collections = new Map<number, { again: boolean; readonly timer: NodeJS.Timeout }>();

  constructor(deps: ImageReconcilerDeps) {
    this.#deps = deps;
    this.#drives = new Drives({
      db: deps.db, lockOf: (name) => `image:${name}`, drive: (name) => this.#drive(name),
      failed: (name, error) => {
        deps.log.warn({ image: name, err: error }, 'reconciling an image failed');
        return OPEN_MS;
      },
    });
    deps.images.onChanged((image) => {
      if (image.state !== 'preparing') this.#preparing.delete(image.name);
      if (image.state === 'pending' || image.state === 'leaving' || image.state === 'removing') this.wake(image.name);
    });
  }

  start(): void {
    this.#intervals = [setInterval(() => void this.#sweep(), SWEEP_MS), setInterval(() => this.collect(), COLLECT_MS)];
    void this.#sweep();
    this.collect();
  }

  stop(): void {
    this.#drives.stop();
    for (const timer of this.#intervals) clearTimeout(timer);
    for (const { timer } of this.#collections.values()) clearTimeout(timer);
  }

  /** Something about the image changed. Returns at once. */
  wake(name: string): void {
    this.#drives.wake(name);
  }

  /** Drops what nothing refers to any more, now and once the grace period of builds is over. Returns at once. */
  collect(): void {
    for (const afterMs of [COLLECT_SOON_MS, GRACE_SECONDS * 1_000 + COLLECT_SOON_MS]) this.#collectIn(afterMs);
  }

  /** What the runner says of one image, by event or because it was asked. */
  async record(seen: RunnerImage): Promise<void> {
    const { db, images } = this.#deps;
    if (seen.state === 'preparing' && this.#preparing.has(seen.name)) return;
    let image = await images.get(seen.name);
    if (!image) {
      if (isOrdered(seen.name)) return this.#removeUnwanted(seen.name);
      await db.run(knowRecipe(seen.name));
      image = await images.get(seen.name);
      if (!image) return;
    }
    if (image.state === 'away') return this.#removeUnwanted(seen.name);
    if (seen.state === 'preparing') {
      await images.move(seen.name, 'prepare', { reason: null });
      this.#preparing.add(seen.name);
    } else if (seen.state === 'ready') await this.#isReady(image, seen);
    else await this.#hasFailed(image, seen.reason ?? 'The image could not be prepared', seen.transient === true);
  }

  /** All that the runner has, after every connection to it: what is missing is made again. */
  async compare(existing: readonly RunnerImage[]): Promise<void> {
    const { db, images } = this.#deps;
    this.#preparing.clear();
    for (const image of existing) {
      // A list is old at once, and a failure in it may be one that is being made good: ask again under the lock.
      if (image.state === 'failed' && isOrdered(image.name)) this.wake(image.name);
      else await this.record(image);
    }
    const names = new Set(existing.map(({ name }) => name));
    for (const image of await db.query(allImages)) {
      if (names.has(image.name)) continue;
      if (image.state === 'ready') await images.move(image.name, 'lost', { sizeBytes: null });
      else this.wake(image.name);
    }
  }

  /** @returns in how many ms to look again, null: when something changes */
  async #drive(name: string): Promise<number | null> {
    const { db, images, runner } = this.#deps;
    for (;;) {
      if (this.#drives.stopped) return null;
      const image = await images.get(name);
      if (!image) return null;
      if (image.state === 'pending') {
        const waitMs = (image.retryAt?.getTime() ?? 0) - Date.now();
        if (waitMs > 0) return waitMs;
        const sent = await images.move(name, 'send', { reason: null });
        if (sent) return this.#put(sent);
      } else if (image.state === 'preparing') {
        const found = await runner.image(name);
        if (!found.ok) return found.failure.code === 'IMAGE_NOT_FOUND' ? this.#put(image) : OPEN_MS;
        if (found.value.state !== 'preparing') await this.record(found.value);
        return null;
      } else if (image.state === 'leaving') {
        const removed = await runner.removeImage(name);
        if (!removed.ok) return OPEN_MS;
        await images.move(name, 'left');
      } else if (image.state === 'removing') {
        const removed = await runner.removeImage(name);
        if (!removed.ok) return OPEN_MS;
        // The runner sends nothing any more. The row goes last: as long as it is there this is done again.
        const maybeThere = isPublishable(image) && (image.publication !== 'none' || this.#deps.publishing);
        if (maybeThere && !(await this.#dropPublished(name))) return DROP_MS;
        if ((await db.run(deleteRemoved(name))) === 1) return null;
        // Wanted again meanwhile, so it is looked at once more; what an event from before the removal may have said is not so.
        await images.move(name, 'lost', { sizeBytes: null });
      } else return null;
    }
  }

  async #put(image: Image): Promise<number | null> {
    const { images, runner, log } = this.#deps;
    const resolved = await resolveSource(image, this.#deps).catch((error: unknown) => {
      // A refusal that has a sentence for the user; anything else is ours to log and try again.
      if ((error as { statusCode?: number }).statusCode === 400) return { problem: (error as Error).message };
      throw error;
    });
    if ('problem' in resolved) {
      await images.move(image.name, 'fail', { reason: resolved.problem, forgetHash: true });
      return null;
    }
    const told = await runner.putImage(image.name, resolved.source);
    log.info({ image: image.name, kind: resolved.source.kind, outcome: told.ok ? told.value.state : told.failure.code }, 'image ordered');
    if (told.ok) {
      if (told.value.state !== 'preparing') await this.record(told.value);
      return null;
    }
    if (OPEN.has(told.failure.code)) return OPEN_MS;
    await this.#hasFailed(image, told.failure.message, PASSING.has(told.failure.code));
    return null;
  }

  /**
   * Rows are written before the runner is told, so what has none is nobody's, and one that is away was told to go; but what was seen may
   * be old by now. Under the lock, as an order for an image of that name is. Returns at once.
   */
  #removeUnwanted(name: string): void {
    const { db, images, runner, log } = this.#deps;
    db.withLock(`image:${name}`, async () => {
      const image = await images.get(name);
      if (image && image.state !== 'away') return;
      const removed = await runner.removeImage(name);
      log.info({ image: name, removed: removed.ok }, 'removed an image that nobody wants on the runner');
    }).catch((error: unknown) => log.warn({ image: name, err: error }, 'an image that nobody wants on the runner could not be removed'));
  }

  async #isReady(image: Image, seen: RunnerImage): Promise<void> {
    const same = image.state === 'ready' && image.sizeBytes === seen.sizeBytes && (image.config !== null || !seen.config);
    if (same || image.state === 'removing') return;
    await this.#deps.images.move(image.name, 'ready', {
      reason: null, sizeBytes: seen.sizeBytes, attempts: 0, retryAt: null, ...(seen.config ? { config: seen.config } : {}),
    });
  }

  async #hasFailed(image: Image, reason: string, mayPass: boolean): Promise<void> {
    const { images, log } = this.#deps;
    if (image.state === 'failed' && image.reason === reason) return;
    // Waits for its next attempt: this is the failure it waits for the end of.
    if (image.state === 'pending') return;
    const attempts = image.attempts + 1;
    const isPublished = image.published !== null;
    // A recipe is tried again by the runner itself. What only our own registry has is worth any wait.
    const again = mayPass && (attempts < ATTEMPTS || isPublished) && image.source.kind !== 'recipe';
    log.warn({ image: image.name, reason, attempts, again }, 'image could not be made');
    if (!again && isPublished && image.source.kind === 'build') {
      log.error({ image: image.name, reason }, 'a published build is not in the registry any more; it is built again');
      await images.movePublication(image.name, 'forget');
      await images.move(image.name, 'retry', { reason, attempts: 0, retryAt: null });
      return;
    }
    if (!again) await images.move(image.name, 'fail', { reason, attempts: 0, retryAt: null, forgetHash: true });
    else await images.move(image.name, 'retry', { reason, attempts, retryAt: new Date(Date.now() + Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts - 1, 20))) });
  }

  /** @returns whether nothing of it is in the registry */
  async #dropPublished(name: string): Promise<boolean> {
    try {
      await this.#deps.shelf.drop(name);
      return true;
    } catch (error) {
      this.#deps.log.warn({ image: name, err: error }, 'an image could not be dropped from the registry; tried again');
      return false;
    }
  }

  /** One timer a distance: who asks while it runs is served by another one after it. */
  #collectIn(afterMs: number): void {
    if (this.#drives.stopped) return;
    const running = this.#collections.get(afterMs);
    if (running) {
      running.again = true;
      return;
    }
    const collection = { again: false, timer: setTimeout(() => {
      this.#collections.delete(afterMs);
      if (collection.again) this.#collectIn(afterMs);
      void this.#dropUnused();
    }, afterMs).unref() };
    this.#collections.set(afterMs, collection);
  }

  async #dropUnused(): Promise<void> {
    try {
      const { images } = this.#deps;
      for (const { name } of [...(await images.dropUnused()), ...(await images.offloadUnused())]) this.wake(name);
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'unused images could not be looked for');
    }
  }

  async #sweep(): Promise<void> {
    const { db } = this.#deps;
    try {
      for (const { name } of [...(await db.query(wantRecipes)), ...(await db.query(unsettledImages))]) {
        this.#drives.wakeUnlessWaiting(name);
      }
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'unsettled images could not be looked for');
    }
  }
}

/** No answer, or one that says nothing about the image. */
const OPEN: ReadonlySet<RunnerFailure['code']> = new Set(['UNAVAILABLE', 'TIMEOUT']);
/** The order was refused for a reason that may pass. */
const PASSING: ReadonlySet<RunnerFailure['code']> = new Set(['INTERNAL', 'RUNNER_FULL', 'REGISTRY_UNAVAILABLE']);
