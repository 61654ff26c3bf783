/** Writes an archive: tar, cut into pieces, each compressed and stored by itself, the manifest last. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import type { ArchiveSummary } from '@paddock/contract';
import type { Blobs } from '@paddock/store';
import { afterPiece } from './garbage.ts';
import { MANIFEST_KEY, pieceKey, storedBytesOf, tarBytesOf, type ArchiveManifest, type ArchivePiece } from './manifest.ts';
import { orAborted, readWhole, sha256 } from './objects.ts';
import { packTree, refuseLongPaths } from './tar.ts';

const compress = promisify(zstdCompress) as (data: Buffer, options: object) => Promise<Buffer>;

/**
 * Large enough that requests cost nothing against bytes, small enough that four in memory are no burden and that one that has to be sent
 * again is sent quickly; and one request in every store, also of what compression only lengthens: those of more than 16 MiB are sent in parts.
 */
const PIECE_BYTES = 15 * 1024 ** 2;

/** What a piece may become by compression, so that one call of a thread does it: Node's default of 16 KiB would be a thousand. */
const ROOM_BYTES = PIECE_BYTES + 256 * 1024;

/** One is compressed while one is sent and one is read. */
const AT_ONCE = 3;

/** Fast: the processors belong to the sandboxes. Higher levels take twice the time for a tenth less. */
const LEVEL = 1;

export interface PackInput {
  readonly sandboxId: string;
  readonly image: string;
  readonly upper: string;
  readonly allowanceBytes: number;
  readonly blobs: Blobs;
  readonly signal: AbortSignal;
  readonly onProgress: (tarBytes: number) => void;
}

export async function pack(input: PackInput): Promise<ArchiveSummary> {
  const { blobs, signal } = input;
  await refuseLongPaths(input.upper, signal);
  const ending = new AbortController();
  const stop = AbortSignal.any([signal, ending.signal]);
  const { stream, ended } = packTree(input.upper, stop);
  const pieces: ArchivePiece[] = [];
  const free: Buffer[] = [];
  const sending = new Set<Promise<void>>();
  let done = 0;
  let failure: unknown = null;
  const send = (piece: Buffer, index: number): Promise<void> => store(blobs, index, piece, free).then((stored) => {
    pieces[index] = stored;
    afterPiece();
    done += stored.tarBytes;
    input.onProgress(done);
  }, (error: unknown) => {
    failure ??= error;
    ending.abort(error);
  });
  try {
    let index = 0;
    for await (const piece of cut(stream, free)) {
      while (sending.size >= AT_ONCE) await orAborted(Promise.race(sending), signal);
      signal.throwIfAborted();
      if (failure !== null) break;
      const sent: Promise<void> = send(piece, index++).finally(() => sending.delete(sent));
      sending.add(sent);
    }
    await orAborted(Promise.all(sending), signal);
    if (failure !== null) throw failure;
    await ended;
  } catch (error) {
    ending.abort(error);
    // What is being sent needs no disk, and is removed with the rest of an archive that is given up.
    if (!signal.aborted) await Promise.allSettled(sending);
    throw failure ?? error;
  }
  signal.throwIfAborted();
  const manifest: ArchiveManifest = {
    version: 1, sandboxId: input.sandboxId, image: input.image, createdAt: new Date().toISOString(), allowanceBytes: input.allowanceBytes, pieces,
  };
  const text = Buffer.from(JSON.stringify(manifest));
  await blobs.put(MANIFEST_KEY, Readable.from([text]));
  return verify(blobs, manifest, createHash('sha256').update(text).digest('hex'));
}

/** The archive that is there already, whole; null: there is none, or not all of it. */
export async function findPacked(blobs: Blobs, sandboxId: string): Promise<ArchiveSummary | null> {
  const text = await readWhole(blobs, MANIFEST_KEY);
  if (text === null) return null;
  try {
    const manifest = JSON.parse(text.toString('utf8')) as ArchiveManifest;
    return manifest.sandboxId === sandboxId ? await verify(blobs, manifest, await sha256(text)) : null;
  } catch {
    return null; // made again, under the same keys
  }
}

/** Reads back what says that the archive is whole, before anybody removes the disk on its account. */
async function verify(blobs: Blobs, manifest: ArchiveManifest, digest: string): Promise<ArchiveSummary> {
  const text = await readWhole(blobs, MANIFEST_KEY);
  if (text === null || await sha256(text) !== digest) throw new Error('The object store does not return the manifest that was stored in it');
  const sizes = new Map<string, number>();
  for (let after: string | null = ''; after !== null;) {
    const page: Awaited<ReturnType<Blobs['list']>> = await blobs.list('', after === '' ? { limit: 1000 } : { limit: 1000, after });
    for (const blob of page.blobs) sizes.set(blob.key, blob.size);
    after = page.next;
  }
  manifest.pieces.forEach((piece, index) => {
    if (sizes.get(pieceKey(index)) !== piece.size) throw new Error(`The object store does not have ${pieceKey(index)} as it was stored`);
  });
  return { sha256: digest, storedBytes: storedBytesOf(manifest), diskBytes: tarBytesOf(manifest) };
}

/** @param free gets the piece's memory back as soon as it is compressed */
async function store(blobs: Blobs, index: number, piece: Buffer, free: Buffer[]): Promise<ArchivePiece> {
  const tarBytes = piece.length;
  const packed = await compress(piece, { chunkSize: ROOM_BYTES, params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
  if (tarBytes === PIECE_BYTES) free.push(piece);
  const digest = await sha256(packed);
  await blobs.put(pieceKey(index), Readable.from([packed]), { sha256: digest, etag: digest });
  return { size: packed.length, sha256: digest, tarBytes };
}

/** The stream in buffers of one size, of free memory where there is some; the last may be shorter. */
async function* cut(stream: AsyncIterable<Buffer>, free: Buffer[]): AsyncGenerator<Buffer> {
  let piece: Buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let filled = 0;
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length;) {
      const copied = chunk.copy(piece, filled, at);
      at += copied;
      filled += copied;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      piece = free.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
