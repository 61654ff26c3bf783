/** What an archive says of itself, in the object that is written last. */
import { RunnerError } from '../runner-error.ts';

export interface ArchivePiece {
  /** Compressed, as stored. */
  readonly size: number;
  readonly sha256: string;
  /** Of the tar. */
  readonly tarBytes: number;
}

export interface ArchiveManifest {
  readonly version: 1;
  readonly sandboxId: string;
  /** The layers below the disk: without them it is nothing. */
  readonly image: string;
  readonly createdAt: string;
  /** See Disks.allowance. */
  readonly allowanceBytes: number;
  /** One zstd frame each; unpacked and one after the other they are a tar. */
  readonly pieces: readonly ArchivePiece[];
}

export const MANIFEST_KEY = 'manifest.json';

/** Pieces of 15 MiB of a disk of 10 TiB: far above any disk. */
export const MAX_MANIFEST_BYTES = 128 * 1024 ** 2;

export function pieceKey(index: number): string {
  return `piece-${String(index).padStart(6, '0')}.tar.zst`;
}

export function tarBytesOf({ pieces }: ArchiveManifest): number {
  return pieces.reduce((sum, piece) => sum + piece.tarBytes, 0);
}

export function storedBytesOf({ pieces }: ArchiveManifest): number {
  return pieces.reduce((sum, piece) => sum + piece.size, 0);
}

export function parseManifest(text: string, sandboxId: string): ArchiveManifest {
  const manifest = JSON.parse(text) as ArchiveManifest;
  if (manifest.version !== 1) throw new RunnerError('INVALID_SPEC', `The archive has version ${String(manifest.version)}, which this Paddock does not know`);
  if (manifest.sandboxId !== sandboxId) throw new RunnerError('INVALID_SPEC', 'The archive is another sandbox\'s');
  return manifest;
}
