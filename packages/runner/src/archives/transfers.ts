/** Archives and restores in progress, and how the latest of each sandbox ended. */
import type { ArchiveRequest, ObjectAccess, RestoreRequest, RunnerEvent, RunnerTransfer } from '@paddock/contract';
import type { Blobs } from '@paddock/store';
import type { Logger } from 'pino';
import { Gate } from '../lifecycle/lanes.ts';
import type { BorrowedDisk } from '../lifecycle/sandboxes.ts';
import { RunnerError } from '../runner-error.ts';
import type { Disks } from '../types.ts';
import { tarBytesOf } from './manifest.ts';
import { isPassing } from './objects.ts';

export interface TransfersInput {
  readonly sandboxes: BorrowedDisk;
  readonly disks: Disks;
  /** Template of an image, by the image's name. */
  readonly templateOf: (image: string) => string | null;
  readonly openBlobs: (access: ObjectAccess) => Promise<Blobs>;
  readonly publish: (event: RunnerEvent) => void;
  readonly log: Logger;
}

/** Each keeps about one processor and the disk busy; more at a time would take them from the sandboxes. */
const AT_ONCE = 2;

/** Results are asked for at once, or after a restart of the control plane. Later the work is looked at anew. */
const KEPT_MS = 600_000;

interface Transfer {
  status: RunnerTransfer;
  readonly prefix: string;
}

export class Transfers {
  readonly #input: TransfersInput;
  readonly #gate = new Gate(AT_ONCE);
  readonly #latest = new Map<string, Transfer>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(input: TransfersInput) {
    this.#input = input;
  }

  archive(id: string, { access }: ArchiveRequest): RunnerTransfer {
    return this.#once(id, 'archive', access, (transfer) => this.#input.sandboxes.withStoppedDisk(id, this.#closing.signal, async (spec, signal) => {
      const { disks } = this.#input;
      const { findPacked, pack } = await import('./pack.ts');
      const blobs = await this.#input.openBlobs(access);
      const archive = (await findPacked(blobs, id)) ?? await pack({
        sandboxId: id, image: spec.image, upper: disks.upper(id), allowanceBytes: disks.allowance(id, this.#input.templateOf(spec.image)), blobs, signal,
        onProgress: (doneBytes) => { transfer.status = { ...transfer.status, doneBytes }; },
      });
      transfer.status = { ...transfer.status, archive };
    }));
  }

  restore(id: string, { spec, access, sha256 }: RestoreRequest): RunnerTransfer {
    return this.#once(id, 'restore', access, (transfer) => this.#input.sandboxes.withMissingDisk(spec, this.#closing.signal, async (signal) => {
      const { disks } = this.#input;
      const { readManifest, unpack } = await import('./unpack.ts');
      const blobs = await this.#input.openBlobs(access);
      const manifest = await readManifest(blobs, id, sha256);
      if (manifest.image !== spec.image) throw new RunnerError('INVALID_SPEC', `The archive belongs on the image "${manifest.image}", not on "${spec.image}"`);
      try {
        const upper = await disks.rebuild(id, tarBytesOf(manifest));
        await unpack(blobs, manifest, upper, signal, (doneBytes) => { transfer.status = { ...transfer.status, doneBytes }; });
        await disks.adoptRebuild(id, manifest.allowanceBytes);
      } finally {
        await disks.dropRebuild(id);
      }
    }));
  }

  /** Ends them all: whoever wants them asks the next runner again. */
  async close(): Promise<void> {
    this.#closing.abort(new RunnerError('INTERNAL', 'The runner stopped'));
    await Promise.all(this.#running);
  }

  #once(id: string, kind: RunnerTransfer['kind'], access: ObjectAccess, act: (transfer: Transfer) => Promise<void>): RunnerTransfer {
    const known = this.#latest.get(id);
    if (known !== undefined && known.status.kind === kind && known.prefix === access.prefix && this.#holds(known.status)) return known.status;
    const transfer: Transfer = { prefix: access.prefix, status: { id, kind, state: 'running', doneBytes: 0 } };
    this.#latest.set(id, transfer);
    const running = this.#run(transfer, act).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return transfer.status;
  }

  /** A failed one is tried again; one whose sandbox went away since is no longer done. */
  #holds({ state, id }: RunnerTransfer): boolean {
    return state === 'running' || (state === 'done' && this.#input.sandboxes.isStopped(id));
  }

  async #run(transfer: Transfer, act: (transfer: Transfer) => Promise<void>): Promise<void> {
    const { log, publish } = this.#input;
    const { id, kind } = transfer.status;
    const since = performance.now();
    try {
      await this.#gate.run(() => act(transfer));
      transfer.status = { ...transfer.status, state: 'done' };
    } catch (error) {
      const { reason, transient } = explain(error);
      transfer.status = { ...transfer.status, state: 'failed', reason, transient };
      log.warn({ op: kind, id, reason, transient, err: error }, 'a transfer failed');
    }
    if (transfer.status.doneBytes > 0) (await import('./garbage.ts')).afterTransfer();
    const { state, doneBytes } = transfer.status;
    log.info({ op: kind, id, state, bytes: doneBytes, ms: Math.round(performance.now() - since) }, 'transfer ended');
    publish({ type: 'transfer', transfer: transfer.status });
    setTimeout(() => {
      if (this.#latest.get(id) === transfer) this.#latest.delete(id);
    }, KEPT_MS).unref();
  }
}

/** Errors with a code of ours say what they are; of all others it is not known, so asking again is worth it. */
function explain(error: unknown): { reason: string; transient: boolean } {
  const { message, code } = error as Error & { code?: string };
  if (error instanceof RunnerError) return { reason: message, transient: error.code === 'INTERNAL' };
  if (code === 'STORE_FULL' || /\bstore is full\b/i.test(message)) return { reason: 'The object store is full', transient: false };
  if (code === 'ENOSPC' || code === 'EDQUOT' || /No space left on device|Disk quota exceeded/.test(message)) return { reason: 'The runner\'s storage is full', transient: false };
  return { reason: message, transient: isPassing(error) };
}
