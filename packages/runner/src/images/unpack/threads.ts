/** Threads that unpack: started when a layer needs one, kept for the next layer for a moment. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { LayerJob, LayerReport } from './layer-job.ts';

/**
 * A start costs 50 ms of a core, and as much again goes into compiling what runs often; an idle thread costs some megabytes. Layers of
 * an image come one upon the other, and so do images of a build or a deployment.
 */
const IDLE_MS = 15_000;

interface Idle {
  readonly worker: Worker;
  readonly timer: NodeJS.Timeout;
}

const idle: Idle[] = [];

/**
 * @param signal ends the thread; nothing of the job goes on when this rejects
 * @param failed resolves with an error that ends the job from this side
 */
export async function runInThread(job: LayerJob, signal: AbortSignal, failed?: Promise<Error>): Promise<LayerReport> {
  signal.throwIfAborted();
  const worker = await take();
  const report = Promise.withResolvers<LayerReport>();
  const ended = (): void => report.resolve(broken('the thread that unpacks ended'));
  const errored = (error: Error): void => report.resolve(broken(error.message));
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason as Error);
  worker.once('message', report.resolve).once('exit', ended).once('error', errored);
  signal.addEventListener('abort', abort, { once: true });
  let whole = false;
  try {
    signal.throwIfAborted();
    worker.postMessage(job, job.source.kind === 'stream' ? [job.source.port] : []);
    const outcome = await Promise.race([report.promise, aborted.promise, ...(failed === undefined ? [] : [failed.then((error) => broken(error.message))])]);
    // One that failed for a reason of its own is not trusted with another layer.
    whole = outcome.type === 'done' || outcome.what === 'layer';
    return outcome;
  } finally {
    signal.removeEventListener('abort', abort);
    worker.off('message', report.resolve).off('exit', ended).off('error', errored);
    if (whole) keep(worker);
    else await worker.terminate();
  }
}

function broken(message: string): LayerReport {
  return { type: 'failed', what: 'system', message };
}

async function take(): Promise<Worker> {
  const kept = idle.pop();
  if (kept !== undefined) {
    clearTimeout(kept.timer);
    kept.worker.ref();
    return kept.worker;
  }
  // libuv makes its pool of threads at the first use; made by a confined thread they would be confined with it.
  await stat('/');
  const worker = new Worker(workerFile(), { stdin: false });
  worker.on('error', () => undefined); // whoever waits for it listens, too
  // One that dies while it waits is not handed out.
  worker.once('exit', () => {
    const at = idle.findIndex((entry) => entry.worker === worker);
    if (at >= 0) clearTimeout(idle.splice(at, 1)[0]!.timer);
  });
  return worker;
}

function keep(worker: Worker): void {
  worker.unref();
  const timer = setTimeout(() => {
    idle.splice(idle.findIndex((entry) => entry.worker === worker), 1);
    void worker.terminate();
  }, IDLE_MS).unref();
  idle.push({ worker, timer });
}

/** In the bundle it is a file beside dist/runner.mjs. */
function workerFile(): URL {
  const source = new URL('./worker.ts', import.meta.url);
  return existsSync(fileURLToPath(source)) ? source : new URL('./unpack-worker.mjs', import.meta.url);
}
