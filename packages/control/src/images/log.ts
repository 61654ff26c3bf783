import { setTimeout as sleep } from 'node:timers/promises';
import type { RunnerClient } from '../runners/index.ts';
import type { Image } from './image.ts';
import type { Images } from './images.ts';

/** Pause before a log that cannot be had yet is asked for again: the order is on its way, or the runner restarts. */
const RETRY_MS = 200;
/** A build has this long to begin; the reconciler's own limits are shorter. */
const PATIENCE_MS = 3_600_000;
/** Between the end of a log and the row that tells of the outcome lies one event of the runner. */
const OUTCOME_MS = 10_000;

/** Nobody is making the image; `leaving` and `away` are those of snapshots that sleep. */
const ENDED: ReadonlySet<Image['state']> = new Set(['ready', 'failed', 'leaving', 'away']);

export interface LogDeps {
  readonly images: Images;
  readonly runner: Pick<RunnerClient, 'imageLog'>;
}

/**
 * What making an image printed. With `follow` it ends when the image is there, has failed, or is not wanted any more; a runner
 * that restarts meanwhile makes the image anew, and so does the log begin anew.
 */
export async function* followLog({ images, runner }: LogDeps, name: string, follow: boolean, signal: AbortSignal): AsyncGenerator<Buffer> {
  let giveUpAt = Date.now() + PATIENCE_MS;
  let printed = false;
  while (!signal.aborted && Date.now() < giveUpAt) {
    const log = await runner.imageLog(name, follow, signal);
    let whole = false;
    if (log) {
      if (printed) yield Buffer.from('\nBeginning again.\n');
      try {
        for await (const chunk of log as AsyncIterable<Buffer>) {
          printed = true;
          yield chunk;
        }
        whole = true;
      } catch {
        // The runner went away in the middle; the image's row says whether there will be more.
      }
      giveUpAt = Date.now() + PATIENCE_MS;
    }
    const image = whole && follow ? await outcome(images, name, signal) : await images.get(name);
    if (!image || image.state === 'removing') return;
    if (ENDED.has(image.state)) {
      if (!printed) yield Buffer.from(image.state === 'failed' ? `${image.reason ?? 'The image could not be made'}\n` : 'The image was made earlier; it is used again.\n');
      return;
    }
    if (!follow) return;
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined); // the client went away
  }
}

/** The image once it is not `preparing` any more, or as it is when that takes too long. */
async function outcome(images: Images, name: string, signal: AbortSignal): Promise<Image | null> {
  const giveUpAt = Date.now() + OUTCOME_MS;
  for (;;) {
    const image = await images.get(name);
    if (image?.state !== 'preparing' || signal.aborted || Date.now() > giveUpAt) return image;
    await sleep(50);
  }
}
