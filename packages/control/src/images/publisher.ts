/** Has what was made here published, in the background: looks at nothing but rows, runner and registry, so it may be killed anywhere. */
import type { PaddockConfig, RegistryAuth, RunnerPublication } from '@paddock/contract';
import type { Logger } from 'pino';
import { Drives, type Database } from '../db/index.ts';
import type { RunnerClient } from '../runners/index.ts';
import type { Image } from './image.ts';
import type { Images } from './images.ts';
import { isPublishable } from './publication.ts';
import { unpublishedImages, unknownNames } from './publication-store.ts';

/** The place of images in this server's registry, which no client's credential opens. */
export interface ImageShelf {
  /** @returns where the runner puts an image and what opens that place to it */
  placeOf(name: string): Promise<{ readonly repository: string; readonly auth: RegistryAuth }>;
  /** What the row keeps of a reference that the runner tells of. */
  stored(reference: string): string;
  /** Nothing of the image is left there. Idempotent. */
  drop(name: string): Promise<void>;
  /** Every image of which there is anything. */
  names(): AsyncIterable<string>;
}

export interface PublisherDeps {
  readonly db: Database;
  readonly images: Images;
  readonly runner: Pick<RunnerClient, 'publish'>;
  readonly shelf: ImageShelf;
  /** Whether new images are published. What is published is used in any case. */
  readonly enabled: boolean;
  readonly log: Logger;
}

/** What a killed process or a lost event left behind is looked for this often. */
const SWEEP_MS = 10_000;
/** What was sent so late that its row was gone is looked for at the start and this often. */
const TIDY_MS = 24 * 3_600_000;
/** Pause after a step whose outcome is open; the runner client waits for a restart by itself. */
const OPEN_MS = 1_000;
/** Pauses double from the first to the longest, and never end: a store that is away for a night is there in the morning. */
const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 600_000;
const NAMES_AT_ONCE = 500;

/** With `auto` where the registry outlives this machine: a second copy on the same disk would save nothing. */
export function publishes({ images, objectStore }: Pick<PaddockConfig, 'images' | 'objectStore'>): boolean {
  return images.publish === 'auto' ? objectStore.endpoint !== null : images.publish === 'always';
}

export class ImagePublisher {
  readonly #deps: PublisherDeps;
  readonly #drives: Drives;
  /** How they failed, until their rows were told: asked again the runner would begin anew. */
  readonly #failures = new Map<string, RunnerPublication>();
  /** The runner has begun and not ended them, as far as is known. */
  readonly #running = new Set<string>();
  #intervals: NodeJS.Timeout[] = [];

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
    this.#drives = new Drives({
      db: deps.db, lockOf: (name) => `publication:${name}`, drive: (name) => this.#drive(name),
      failed: (name, error) => {
        deps.log.warn({ image: name, err: error }, 'publishing an image failed');
        return OPEN_MS;
      },
    });
    if (deps.enabled) {
      deps.images.onChanged((image) => {
        if (isDue(image)) this.wake(image.name);
      });
    }
  }

  /** Whether the image will be published, so that it is worth waiting for. */
  awaits(image: Image): boolean {
    return this.#deps.enabled && isPublishable(image) && image.publication !== 'published';
  }

  isRunning(name: string): boolean {
    return this.#running.has(name);
  }

  start(): void {
    this.#intervals = [setInterval(() => void this.#tidy(), TIDY_MS).unref()];
    void this.#tidy();
    if (!this.#deps.enabled) return;
    this.#intervals.push(setInterval(() => void this.#sweep(), SWEEP_MS));
    void this.#sweep();
  }

  stop(): void {
    this.#drives.stop();
    for (const timer of this.#intervals) clearTimeout(timer);
  }

  /** The runner says how a publication ended. */
  ended(publication: RunnerPublication): void {
    if (publication.state === 'failed') this.#failures.set(publication.name, publication);
    this.wake(publication.name);
  }

  wake(name: string): void {
    if (this.#deps.enabled) this.#drives.wake(name);
  }

  /** @returns in how many ms to look again, null: when something changes */
  async #drive(name: string): Promise<number | null> {
    const { images, runner, shelf, log } = this.#deps;
    const image = await images.get(name);
    const failure = this.#failures.get(name);
    this.#failures.delete(name);
    if (!image || !isDue(image)) {
      this.#running.delete(name);
      return null;
    }
    if (failure) return this.#failed(image, failure);
    const waitMs = (image.publishAt?.getTime() ?? 0) - Date.now();
    if (waitMs > 0) return waitMs;
    const asked = await runner.publish(name, await shelf.placeOf(name));
    if (!asked.ok) {
      this.#running.delete(name);
      // Whoever looks after the runner's copy finds out that it is gone.
      return asked.failure.code === 'IMAGE_NOT_FOUND' ? null : OPEN_MS;
    }
    const { state, published } = asked.value;
    if (state === 'failed') return this.#failed(image, asked.value);
    if (state === 'running') {
      this.#running.add(name);
      return null;
    }
    this.#running.delete(name);
    await images.movePublication(name, 'publish', { published: shelf.stored(published!.reference), attempts: 0, problem: null, at: null });
    log.info({ image: name, sizeBytes: published!.sizeBytes }, 'image published');
    return null;
  }

  async #failed(image: Image, { name, reason = 'unknown reason', transient }: RunnerPublication): Promise<number | null> {
    const { images, log } = this.#deps;
    this.#running.delete(name);
    if (transient === true) {
      const attempts = image.publishAttempts + 1;
      const pauseMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts - 1, 20));
      log.warn({ image: name, reason, attempts, pauseMs }, 'an image could not be published; tried again');
      await images.movePublication(name, 'retry', { attempts, problem: reason, at: new Date(Date.now() + pauseMs) });
      return pauseMs;
    }
    log.warn({ image: name, reason }, 'an image cannot be published: it stays on the runner alone');
    await images.movePublication(name, 'refuse', { problem: reason, at: null });
    return null;
  }

  async #sweep(): Promise<void> {
    try {
      for (const { name } of await this.#deps.db.query(unpublishedImages)) this.#drives.wakeUnlessWaiting(name);
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'unpublished images could not be looked for');
    }
  }

  /** Names are listed before the rows: an image's row is older than anything of it. */
  async #tidy(): Promise<void> {
    const { db, shelf, log } = this.#deps;
    try {
      let names: string[] = [];
      const drop = async (): Promise<void> => {
        for (const { name } of await db.query(unknownNames(names))) {
          if (this.#drives.stopped) return;
          await shelf.drop(name);
          log.info({ image: name }, 'dropped a published image that no row knows');
        }
        names = [];
      };
      for await (const name of shelf.names()) if (names.push(name) === NAMES_AT_ONCE) await drop();
      await drop();
    } catch (error) {
      log.warn({ err: error }, 'published images that no row knows could not be looked for');
    }
  }
}

function isDue(image: Image): boolean {
  return isPublishable(image) && image.state === 'ready' && (image.publication === 'none' || image.publication === 'waiting');
}
