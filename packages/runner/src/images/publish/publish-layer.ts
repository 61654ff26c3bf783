/** Has a layer sent to a registry by a thread of its own. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RegistryError } from '../../registry-client/index.ts';
import { MakeFailed } from '../maker.ts';
import type { LayerBlob, PublishJob, PublishReport } from './layer-job.ts';

/** @throws MakeFailed when the layer's files cannot be an image, RegistryError; nothing of it goes on then */
export async function publishLayer(job: Omit<PublishJob, 'progress'>, signal: AbortSignal, onProgress: (tarBytes: number) => void): Promise<LayerBlob> {
  signal.throwIfAborted();
  // libuv makes its pool of threads at the first use; made by a confined thread they would be confined with it.
  await stat('/');
  const progress = new SharedArrayBuffer(8);
  const worker = new Worker(workerFile(), { stdin: false, workerData: { ...job, progress } satisfies PublishJob });
  const report = Promise.withResolvers<PublishReport>();
  const abort = (): void => report.reject(signal.reason as Error);
  const broken = (message: string): void => report.resolve({ type: 'failed', what: 'system', message });
  worker.once('message', report.resolve).once('error', (error) => broken((error as Error).message)).once('exit', () => broken('the thread that publishes ended'));
  signal.addEventListener('abort', abort, { once: true });
  const timer = setInterval(() => onProgress(Number(Atomics.load(new BigInt64Array(progress), 0))), TICK_MS);
  try {
    return judge(await report.promise);
  } finally {
    clearInterval(timer);
    signal.removeEventListener('abort', abort);
    await worker.terminate();
  }
}

const TICK_MS = 250;

function judge(report: PublishReport): LayerBlob {
  if (report.type === 'done') {
    const { diffId, digest, size } = report;
    return { diffId, digest, size };
  }
  switch (report.what) {
    case 'tree': throw new MakeFailed(`The image cannot be published: ${report.message}`);
    case 'registry': throw new RegistryError(report.failure!, report.message);
    case 'system': throw new Error(`A layer could not be published: ${report.message}`);
  }
}

/** In the bundle it is a file beside dist/runner.mjs. */
function workerFile(): URL {
  const source = new URL('./worker.ts', import.meta.url);
  return existsSync(fileURLToPath(source)) ? source : new URL('./publish-worker.mjs', import.meta.url);
}
