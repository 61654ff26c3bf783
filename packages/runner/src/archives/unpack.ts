/** Rebuilds a disk from its archive. */
import { once } from 'node:events';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import type { Blobs } from '@paddock/store';
import { RunnerError } from '../runner-error.ts';
import { afterPiece } from './garbage.ts';
import { MANIFEST_KEY, parseManifest, pieceKey, type ArchiveManifest, type ArchivePiece } from './manifest.ts';
import { orAborted, readWhole, sha256 } from './objects.ts';
import { unpackTree } from './tar.ts';

const decompress = promisify(zstdDecompress) as (data: Buffer, options: object) => Promise<Buffer>;

/** Fetched ahead of the one that is being written: while one is unpacked the next one comes. */
const AHEAD = 2;

/** @throws RunnerError ARCHIVE_DAMAGED when it is not what its digest vouches for */
export async function readManifest(blobs: Blobs, sandboxId: string, digest: string): Promise<ArchiveManifest> {
  const text = await readWhole(blobs, MANIFEST_KEY);
  if (text === null) throw new RunnerError('ARCHIVE_DAMAGED', 'The archive is not in the object store');
  if (await sha256(text) !== digest) throw new RunnerError('ARCHIVE_DAMAGED', 'The archive is damaged: its manifest is not the one that was written');
  return parseManifest(text.toString('utf8'), sandboxId);
}

/** @param upper empty directory */
export async function unpack(blobs: Blobs, { pieces }: ArchiveManifest, upper: string, signal: AbortSignal, onProgress: (tarBytes: number) => void): Promise<void> {
  const ending = new AbortController();
  const stop = AbortSignal.any([signal, ending.signal]);
  const { stream, ended } = unpackTree(upper, stop);
  const fetched: Array<Promise<Buffer>> = [];
  const free: Buffer[] = [];
  const roomBytes = pieces.reduce((most, { size }) => Math.max(most, size), 0);
  const fetchNext = (index: number): void => {
    if (index >= pieces.length) return;
    const piece = fetch(blobs, index, pieces[index]!, free, roomBytes);
    piece.catch(() => {}); // judged when its turn comes
    fetched[index] = piece;
  };
  try {
    for (let index = 0; index < AHEAD; index++) fetchNext(index);
    let done = 0;
    for (let index = 0; index < pieces.length; index++) {
      const data = await orAborted(fetched[index]!, signal);
      delete fetched[index];
      fetchNext(index + AHEAD);
      signal.throwIfAborted();
      if (!stream.write(data)) await Promise.race([once(stream, 'drain', { signal: stop }), ended]);
      done += data.length;
      afterPiece();
      onProgress(done);
    }
    stream.end();
    await ended;
  } catch (error) {
    ending.abort(error);
    await ended.catch(() => {});
    throw error;
  }
}

/** @param free memory for packed pieces, used again from piece to piece */
async function fetch(blobs: Blobs, index: number, piece: ArchivePiece, free: Buffer[], roomBytes: number): Promise<Buffer> {
  const key = pieceKey(index);
  const memory = free.pop() ?? Buffer.allocUnsafeSlow(roomBytes);
  const packed = await readWhole(blobs, key, piece.size, memory);
  if (packed === null) throw new RunnerError('ARCHIVE_DAMAGED', `The archive is damaged: ${key} is missing`);
  if (packed.length !== piece.size || await sha256(packed) !== piece.sha256) throw new RunnerError('ARCHIVE_DAMAGED', `The archive is damaged: ${key} is not what was stored`);
  const data = await decompress(packed, { chunkSize: Math.max(64, piece.tarBytes), maxOutputLength: piece.tarBytes });
  free.push(memory);
  return data;
}
