/** Has layers fetched and unpacked by threads of their own. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RegistryError } from '../../registry-client/index.ts';
import type { LayerInfo } from '../layers.ts';
import { MakeFailed } from '../maker.ts';
import { Counters, type LayerJob, type LayerLimits, type LayerReport, type RegistrySource } from './layer-job.ts';

export { Counters, type LayerLimits } from './layer-job.ts';

/** A million files are ten times what the largest images have; each costs the pool about a kilobyte. */
export const MAX_ENTRIES = 1_000_000;

/** Pieces of a stream that are on their way to the thread. */
const IN_FLIGHT = 8;

export interface UnpackInput {
  /** The tar, plain or compressed with gzip or zstd. Read to its end or destroyed. */
  readonly source: Readable;
  /** Empty directory that becomes the layer. */
  readonly dir: string;
  /** `sha256:<hex>` of the uncompressed tar, verified. */
  readonly diffId: string;
  readonly signal: AbortSignal;
  /** Default: no more bytes than a terabyte, MAX_ENTRIES. */
  readonly limits?: LayerLimits;
  readonly counters?: Counters;
}

/** Unpacks a layer from a stream. @throws MakeFailed when the tar is not what a layer may be, with what it is; the directory is then to be removed */
export async function unpackLayer({ source, dir, diffId, signal, limits = NO_LIMITS, counters = new Counters() }: UnpackInput): Promise<LayerInfo> {
  return inThread({ dir, diffId, source: { kind: 'stream' }, limits, counters: counters.buffer }, signal, source);
}

const NO_LIMITS: LayerLimits = { bytes: 2 ** 40, entries: MAX_ENTRIES };

export interface PullInput extends Omit<UnpackInput, 'source'> {
  readonly source: RegistrySource;
  readonly limits: LayerLimits;
  readonly counters: Counters;
}

/** Fetches a layer from a registry and unpacks it as it comes in. */
export async function pullLayer({ source, dir, diffId, signal, limits, counters }: PullInput): Promise<LayerInfo> {
  return inThread({ dir, diffId, source, limits, counters: counters.buffer }, signal, null);
}

async function inThread(job: LayerJob, signal: AbortSignal, stream: Readable | null): Promise<LayerInfo> {
  signal.throwIfAborted();
  // libuv makes its pool of threads at the first use; made by a confined thread they would be confined with it.
  await stat('/');
  const worker = new Worker(workerFile(), { workerData: job, stdin: false });
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const abort = (): void => void worker.terminate();
  signal.addEventListener('abort', abort, { once: true });
  let room = IN_FLIGHT;
  let wake = Promise.withResolvers<void>();
  const report = Promise.withResolvers<Exclude<LayerReport, { type: 'more' }>>();
  worker.on('message', (message: LayerReport) => {
    if (message.type !== 'more') return report.resolve(message);
    room += 1;
    wake.resolve();
  });
  worker.once('error', (error) => report.resolve({ type: 'failed', what: 'system', message: error.message }));
  void exited.then(() => report.resolve({ type: 'failed', what: 'system', message: 'the thread that unpacks ended' }));
  const sending = stream === null ? Promise.resolve() : send(stream, worker, async () => {
    while (room === 0) {
      wake = Promise.withResolvers<void>();
      await Promise.race([wake.promise, exited]);
      if (room === 0) return false;
    }
    room -= 1;
    return true;
  });
  const broken = sending.then(() => new Promise<never>(() => {}), (error: Error) => ({ type: 'failed', what: 'system', message: error.message }) as const);
  try {
    return judge(await Promise.race([report.promise, broken]));
  } finally {
    signal.removeEventListener('abort', abort);
    await worker.terminate();
    await exited;
    stream?.destroy();
    signal.throwIfAborted();
  }
}

async function send(stream: Readable, worker: Worker, hasRoom: () => Promise<boolean>): Promise<void> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (!(await hasRoom())) return;
    const piece = Uint8Array.from(chunk); // of its own memory, which moves to the thread
    worker.postMessage(piece, [piece.buffer]);
  }
  worker.postMessage(null);
}

function judge(report: Exclude<LayerReport, { type: 'more' }>): LayerInfo {
  if (report.type === 'done') {
    const { sizeBytes, implied } = report;
    return implied.length === 0 ? { sizeBytes } : { sizeBytes, implied };
  }
  switch (report.what) {
    case 'layer': throw new MakeFailed(`A layer of the image cannot be used: ${report.message}`);
    case 'registry': throw new RegistryError(report.failure!, report.message);
    case 'system': throw Object.assign(new Error(`A layer could not be unpacked: ${report.message}`), report.code === undefined ? {} : { code: report.code });
  }
}

/** In the bundle it is a file beside dist/runner.mjs. */
function workerFile(): URL {
  const source = new URL('./worker.ts', import.meta.url);
  return existsSync(fileURLToPath(source)) ? source : new URL('./unpack-worker.mjs', import.meta.url);
}
