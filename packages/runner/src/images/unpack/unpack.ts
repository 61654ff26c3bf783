/** Has layers fetched and unpacked by threads of their own. */
import type { Readable } from 'node:stream';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { RegistryError } from '../../registry-client/index.ts';
import type { LayerInfo } from '../layers.ts';
import { MakeFailed } from '../maker.ts';
import { Counters, type LayerLimits, type LayerReport, type RegistrySource, type StreamSource } from './layer-job.ts';
import { runInThread } from './threads.ts';

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
  const sending = new Sending(source);
  try {
    const stream: StreamSource = { kind: 'stream', port: sending.theirs };
    return judge(await runInThread({ dir, diffId, source: stream, limits, counters: counters.buffer }, signal, sending.failed));
  } finally {
    sending.close();
  }
}

const NO_LIMITS: LayerLimits = { bytes: 2 ** 40, entries: MAX_ENTRIES };

export interface PullInput extends Omit<UnpackInput, 'source'> {
  readonly source: RegistrySource;
  readonly limits: LayerLimits;
  readonly counters: Counters;
}

/** Fetches a layer from a registry and unpacks it as it comes in. */
export async function pullLayer({ source, dir, diffId, signal, limits, counters }: PullInput): Promise<LayerInfo> {
  return judge(await runInThread({ dir, diffId, source, limits, counters: counters.buffer }, signal));
}

/** Fetches a layer from a registry and verifies it like `pullLayer` does, for one whose files are there already. */
export async function verifyLayer({ source, diffId, signal, limits, counters }: Omit<PullInput, 'dir'>): Promise<void> {
  judge(await runInThread({ dir: null, diffId, source, limits, counters: counters.buffer }, signal));
}

/** Hands a stream to a thread at the thread's pace. */
class Sending {
  readonly theirs: MessagePort;
  readonly failed: Promise<Error>;
  readonly #ours: MessagePort;
  readonly #stream: Readable;
  #room = IN_FLIGHT;
  #wake = Promise.withResolvers<void>();
  #closed = false;

  constructor(stream: Readable) {
    const { port1, port2 } = new MessageChannel();
    this.#ours = port1;
    this.theirs = port2;
    this.#stream = stream;
    port1.on('message', () => {
      this.#room += 1;
      this.#wake.resolve();
    });
    this.failed = this.#send().then(() => new Promise<never>(() => {}), (error: Error) => error);
  }

  close(): void {
    this.#closed = true;
    this.#wake.resolve();
    this.#ours.close();
    this.#stream.destroy();
  }

  async #send(): Promise<void> {
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
      while (this.#room === 0 && !this.#closed) {
        this.#wake = Promise.withResolvers<void>();
        await this.#wake.promise;
      }
      if (this.#closed) return;
      this.#room -= 1;
      const piece = Uint8Array.from(chunk); // of its own memory, which moves to the thread
      this.#ours.postMessage(piece, [piece.buffer]);
    }
    if (!this.#closed) this.#ours.postMessage(null);
  }
}

function judge(report: LayerReport): LayerInfo {
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
