import { setTimeout as sleep } from 'node:timers/promises';
import type { RunnerImage } from '@paddock/contract';
import type { Logger } from 'pino';
import type { RunnerClient } from './client.ts';

/** Pause before what could not be read or recorded is tried again. */
const RETRY_MS = 1_000;

export interface ImageFollower {
  /** The runner told of one image. */
  changed(image: RunnerImage): void;
  /** Anything may have changed: ask for all of them. */
  sync(): void;
  stop(): void;
}

/** Who is told of images. */
export interface ImageListener {
  /** One image, as it is. */
  record(image: RunnerImage): Promise<void>;
  /** All that there are. */
  compare(images: readonly RunnerImage[]): Promise<void>;
}

/** Hands what the runner says of its images to the listener, in order, until it took it. */
export function followImages(runner: RunnerClient, listener: ImageListener, log: Logger): ImageFollower {
  const stop = new AbortController();
  let tail = Promise.resolve();

  function enqueue(work: () => Promise<boolean>): void {
    tail = tail.then(async () => {
      while (!stop.signal.aborted) {
        try {
          if (await work()) return;
        } catch (error) {
          log.warn({ err: error }, 'the state of images could not be recorded');
        }
        await sleep(RETRY_MS, undefined, { signal: stop.signal, ref: false }).catch(() => undefined); // stopping
      }
    });
  }

  return {
    changed: (image) => enqueue(async () => {
      await listener.record(image);
      return true;
    }),
    sync: () => enqueue(async () => {
      const images = await runner.images();
      if (!images.ok) return false;
      await listener.compare(images.value);
      return true;
    }),
    stop: () => stop.abort(),
  };
}
