/** A thread that sends one layer to a registry: reads, hashes and compresses piece by piece, at low priority, in little memory. */
import { createHash } from 'node:crypto';
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { constants, zstdCompressSync } from 'node:zlib';
import { RegistryError, RegistryPusher, type BlobUpload } from '../../registry-client/index.ts';
import { Confinement } from '../unpack/confinement.ts';
import type { PublishJob, PublishReport } from './layer-job.ts';
import { Unpublishable, treeTar } from './tree-tar.ts';

/** Of the tar, one zstd frame each: compressed by one call, in this thread, so that all work has its priority. */
const PIECE_BYTES = 4 * 1024 ** 2;
/** What a piece may become by compression, so that the call makes one buffer. */
const ROOM_BYTES = PIECE_BYTES + 64 * 1024;
/** Sent together: an object store wants parts of 5 MiB at least, and a registry takes 10,000 of them. */
const SEND_BYTES = 8 * 1024 ** 2;
/** Fast: the processors belong to the sandboxes. */
const LEVEL = 1;
/** A tenth of a sandbox's share where both want the processor. */
const NICE = 10;

const job = workerData as PublishJob;
// Of the calling thread alone, on Linux.
setPriority(0, NICE);
void run().catch(reportOf).then((report) => parentPort!.postMessage(report));

async function run(): Promise<PublishReport> {
  const progress = new BigInt64Array(job.progress);
  const pusher = new RegistryPusher(job.repository, job.auth, job.settings, new AbortController().signal);
  const tarHash = createHash('sha256');
  const blobHash = createHash('sha256');
  let upload: BlobUpload | null = null;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let tarBytes = 0;
  let size = 0;
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  const confinement = new Confinement(job.dir);
  try {
    const pieces = treeTar(buffer, job.limits);
    for (let next = confinement.run(() => pieces.next()); next.done !== true; next = confinement.run(() => pieces.next())) {
      const piece = buffer.subarray(0, next.value);
      tarHash.update(piece);
      const packed = zstdCompressSync(piece, { chunkSize: ROOM_BYTES, params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
      blobHash.update(packed);
      tarBytes += piece.length;
      size += packed.length;
      Atomics.store(progress, 0, BigInt(tarBytes));
      waiting.push(packed);
      waitingBytes += packed.length;
      if (waitingBytes < SEND_BYTES) continue;
      upload ??= await pusher.upload();
      await upload.append(Buffer.concat(waiting));
      waiting = [];
      waitingBytes = 0;
    }
  } finally {
    confinement.close();
  }
  const digest = `sha256:${blobHash.digest('hex')}`;
  upload ??= await pusher.upload();
  await upload.finish(digest, Buffer.concat(waiting));
  return { type: 'done', diffId: `sha256:${tarHash.digest('hex')}`, digest, size };
}

function reportOf(error: unknown): PublishReport {
  const { message } = error as Error;
  if (error instanceof Unpublishable) return { type: 'failed', what: 'tree', message };
  if (error instanceof RegistryError) return { type: 'failed', what: 'registry', message, failure: error.failure };
  return { type: 'failed', what: 'system', message };
}
