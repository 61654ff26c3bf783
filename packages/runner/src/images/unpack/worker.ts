/** A thread that fetches, verifies and unpacks layers, one after the other, so that the runner's own thread stays free for sandboxes. */
import { createHash } from 'node:crypto';
import { parentPort, type MessagePort } from 'node:worker_threads';
import { RegistryClient, RegistryError } from '../../registry-client/index.ts';
import { errorCode } from '../../sys/index.ts';
import { Confinement } from './confinement.ts';
import { decompressor, type Decompressor } from './decompress.ts';
import { Counters, type LayerJob, type LayerReport } from './layer-job.ts';
import { LayerWriter } from './layer-writer.ts';
import { BadLayer } from './tar-entry.ts';
import { TarReader } from './tar-reader.ts';

/** Enough to see how a blob is compressed. */
const START_BYTES = 4;

const MIB = 1024 ** 2;

/** What a tar may have besides the content of files: a kilobyte for each entry, and as much again. */
const HEADERS_BYTES = 2 * 1024 ** 3;

/** A layer with more such directories was not made by a tool that forgets the usual ones. */
const MAX_IMPLIED = 100_000;

parentPort!.on('message', (job: LayerJob) => {
  void run(job).catch(reportOf).then((report) => parentPort!.postMessage(report));
});

async function run(job: LayerJob): Promise<LayerReport> {
  const counters = new Counters(job.counters);
  if (job.dir === null) {
    await unpack(job, counters, { begin: () => undefined, take: () => undefined });
    return { type: 'done', sizeBytes: 0, implied: [], skippedDevices: 0 };
  }
  const writer = new LayerWriter({
    spend: (bytes, entries) => {
      if (counters.addBytes(bytes) > job.limits.bytes) throw new BadLayer(`the image unpacks to more than ${Math.floor(job.limits.bytes / MIB)} MiB, which is what there is room for`);
      if (counters.addEntries(entries) > job.limits.entries) throw new BadLayer(`the image has more than ${job.limits.entries} files`);
    },
  });
  const reader = new TarReader(writer);
  const confinement = new Confinement(job.dir);
  try {
    await unpack(job, counters, { begin: () => confinement.enter(), take: (piece) => reader.push(piece) });
    reader.end();
    writer.finish();
  } finally {
    writer.close();
    confinement.close();
  }
  return { type: 'done', sizeBytes: writer.sizeBytes, implied: [...writer.implied].slice(0, MAX_IMPLIED), skippedDevices: writer.skippedDevices };
}

interface Tar {
  /** Before the first piece, when all is there that the rest takes. */
  begin(): void;
  take(piece: Buffer): void;
}

async function unpack({ source, diffId: expected, limits }: LayerJob, counters: Counters, tar: Tar): Promise<void> {
  const blobHash = createHash('sha256');
  const tarHash = createHash('sha256');
  let tarBytes = 0;
  let start = Buffer.alloc(0);
  let inflating: Decompressor | null = null;
  const begin = (): Decompressor => {
    const made = decompressor(start, source.kind === 'registry' ? source.blob.size : null, (piece) => {
      tarBytes += piece.length;
      if (tarBytes > limits.bytes + HEADERS_BYTES) throw new BadLayer('it consists of little but headers and padding');
      tarHash.update(piece);
      tar.take(piece);
    });
    tar.begin();
    return made;
  };
  try {
    for await (const piece of pieces(source)) {
      counters.addDownloaded(piece.length);
      blobHash.update(piece);
      if (inflating === null) {
        start = Buffer.concat([start, piece]);
        if (start.length < START_BYTES) continue;
        inflating = begin();
        await inflating.write(start);
      } else {
        const room = inflating.write(piece);
        if (room !== null) await room;
      }
    }
    if (source.kind === 'registry') {
      const digest = `sha256:${blobHash.digest('hex')}`;
      if (digest !== source.blob.digest) throw new RegistryError('invalid', `The registry sent other content than ${source.blob.digest}: its digest is ${digest}`);
    }
    if (inflating === null) {
      inflating = begin();
      if (start.length > 0) await inflating.write(start);
    }
    await inflating.end();
  } finally {
    inflating?.close();
  }
  const diffId = `sha256:${tarHash.digest('hex')}`;
  if (diffId !== expected) throw new BadLayer(`it does not hold what the image's configuration says: ${expected} was expected, ${diffId} it is`);
}

function pieces(source: LayerJob['source']): AsyncIterable<Buffer> {
  if (source.kind === 'stream') return messages(source.port);
  const client = new RegistryClient(source.reference, source.auth, source.settings, new AbortController().signal, { authorizations: source.authorizations });
  return client.blob(source.blob);
}

async function *messages(port: MessagePort): AsyncGenerator<Buffer> {
  const queue: Array<Uint8Array | null> = [];
  let wake = Promise.withResolvers<void>();
  const receive = (piece: Uint8Array | null): void => {
    queue.push(piece);
    wake.resolve();
  };
  port.on('message', receive);
  try {
    for (;;) {
      while (queue.length > 0) {
        const piece = queue.shift()!;
        if (piece === null) return;
        yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
        port.postMessage('more');
      }
      wake = Promise.withResolvers<void>();
      if (queue.length === 0) await wake.promise;
    }
  } finally {
    port.close();
  }
}

function reportOf(error: unknown): LayerReport {
  const { message } = error as Error;
  if (error instanceof BadLayer) return { type: 'failed', what: 'layer', message };
  if (error instanceof RegistryError) return { type: 'failed', what: 'registry', message, failure: error.failure };
  const code = errorCode(error);
  return { type: 'failed', what: 'system', message, ...(code === null ? {} : { code }) };
}
