import type { ObjectAccess } from './object-access.ts';
import type { SandboxSpec } from './runner-api.ts';

/** Moving a stopped sandbox's disk to the object store and back, as control plane and runner speak of it (routes: runner-api.ts). */

export interface ArchiveRequest {
  /** Its prefix is this archive's alone; the same one again means the same archive, so that an interrupted one is taken up. */
  readonly access: ObjectAccess;
}

export interface RestoreRequest {
  /** What the sandbox is afterwards: stopped, with this spec. */
  readonly spec: SandboxSpec;
  readonly access: ObjectAccess;
  /** ArchiveSummary.sha256. */
  readonly sha256: string;
}

export interface ArchiveSummary {
  /** Hex, of the manifest, which holds the digests of all else. */
  readonly sha256: string;
  /** In the object store. */
  readonly storedBytes: number;
  /** What the disk's files take unpacked. */
  readonly diskBytes: number;
}

export interface RunnerTransfer {
  /** Of the sandbox. */
  readonly id: string;
  readonly kind: 'archive' | 'restore';
  readonly state: 'running' | 'done' | 'failed';
  /** Of the unpacked bytes. */
  readonly doneBytes: number;
  /** Of an archive that is done: whole, read back, on stable storage. The sandbox is as it was. */
  readonly archive?: ArchiveSummary;
  /** Why it failed, in words for the user; nothing has changed then. */
  readonly reason?: string;
  /** The cause may pass by itself: asking again may help. */
  readonly transient?: boolean;
}
