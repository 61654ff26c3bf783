import type { ObjectAccess, RunnerTransfer } from '@paddock/contract';
import type { Image, Images } from '../images/index.ts';
import type { ObjectStore } from '../object-storage/index.ts';
import type { RunnerClient } from '../runners/client.ts';
import { isTransient, type Outcome } from './outcome.ts';
import { diskGiBOf, specOf, type Sandbox } from './sandbox.ts';

/**
 * An object store that is away is waited for this long, counted from the wish. Then the sandbox is as before: stopped with its disk, or
 * failed with its archive, and can be told again. Longer than a restart of any store, short enough that somebody is still looking.
 */
const PATIENCE_MS = 600_000;

/** Access of a runner to one archive outlasts the largest disk; it is made anew when half of it is over. */
const ACCESS_SECONDS = 12 * 3600;

export interface DiskStepsDeps {
  readonly runner: Pick<RunnerClient, 'patch' | 'archive' | 'restore'>;
  readonly images: Pick<Images, 'get' | 'move' | 'pendingOfSandbox'>;
  /** An archive is worth what its image is worth: where images are published, that one is first. */
  readonly publications: { awaits(image: Image): boolean; isRunning(name: string): boolean };
  readonly objects: Pick<ObjectStore, 'accessFor'>;
  readonly runnerId: string;
}

/** The reconciler's steps that work on a sandbox's disk: resize, snapshot, archive, restore. */
export class DiskSteps {
  readonly #deps: DiskStepsDeps;
  /** How the latest transfer of a sandbox failed, until its row was told. */
  readonly #failures = new Map<string, RunnerTransfer>();
  readonly #accesses = new Map<string, { readonly access: ObjectAccess; readonly until: number }>();

  constructor(deps: DiskStepsDeps) {
    this.#deps = deps;
  }

  /** The runner says that a transfer ended; the next step sees how. */
  ended(transfer: RunnerTransfer): void {
    if (transfer.state === 'failed') this.#failures.set(transfer.id, transfer);
    else this.#failures.delete(transfer.id);
  }

  async resize(row: Sandbox): Promise<Outcome> {
    const { resizeTo } = row;
    if (!resizeTo) return { trigger: 'settle', patch: {} };
    const { cpu, memory, disk } = resizeTo;
    const patched = await this.#deps.runner.patch(row.id, { cpu, memoryGiB: memory, diskGiB: diskGiBOf(row, disk) });
    if (patched.ok) return { trigger: 'settle', patch: { cpu, memory, disk, resizeTo: null, errorReason: null } };
    if (isTransient(patched.failure)) return 'again';
    // wire: a resize that failed leaves the sandbox as it was, without an error state.
    return { trigger: 'settle', patch: { resizeTo: null, errorReason: `Resize failed: ${patched.failure.message}` } };
  }

  async snapshot(row: Sandbox): Promise<Outcome> {
    return await this.#deps.images.pendingOfSandbox(row.id) ? 'wait' : { trigger: 'settle', patch: {} };
  }

  async archive(row: Sandbox): Promise<Outcome> {
    if (!row.archiveId) return { trigger: 'archiveFailed', patch: GIVEN_UP };
    const failure = this.#takeFailure(row.id, 'archive');
    if (failure) {
      if (failure.transient === true && !isOverdue(row)) return 'again';
      return { trigger: 'archiveFailed', patch: { ...GIVEN_UP, backupState: 'Error', errorReason: `Archiving failed: ${failure.reason ?? 'unknown reason'}` } };
    }
    const unpublished = await this.#awaitPublication(row);
    if (unpublished) return unpublished;
    const asked = await this.#deps.runner.archive(row.id, { access: await this.#access(row.archiveId) });
    if (!asked.ok) {
      if (isTransient(asked.failure)) return 'again';
      return { trigger: 'archiveFailed', patch: { ...GIVEN_UP, backupState: 'Error', errorReason: `Archiving failed: ${asked.failure.message}` } };
    }
    const { state, archive } = asked.value;
    if (state !== 'done' || !archive) return 'busy';
    return { trigger: 'archived', patch: { archive, runnerId: null, errorReason: null, backupState: 'Completed', backupCreatedAt: new Date() } };
  }

  async restore(row: Sandbox): Promise<Outcome> {
    const { archive, archiveId } = row;
    if (!archive || !archiveId) return { trigger: 'fail', patch: { errorReason: 'The sandbox has no archive', recoverable: false } };
    const failure = this.#takeFailure(row.id, 'restore');
    if (failure) {
      if (failure.transient === true && !isOverdue(row)) return 'again';
      // The archive stays, so that it can be tried again.
      return { trigger: 'fail', patch: { errorReason: `Restoring failed: ${failure.reason ?? 'unknown reason'}`, recoverable: true } };
    }
    const image = await this.#deps.images.get(row.image);
    if (image?.state === 'failed') return { trigger: 'fail', patch: { errorReason: `The image of the sandbox could not be prepared: ${image.reason ?? 'unknown reason'}`, recoverable: true } };
    if (image?.state === 'leaving' || image?.state === 'away') await this.#deps.images.move(image.name, 'want');
    if (image && image.state !== 'ready') return 'wait';
    const asked = await this.#deps.runner.restore(row.id, { spec: specOf(row), access: await this.#access(archiveId), sha256: archive.sha256 });
    if (!asked.ok) {
      if (isTransient(asked.failure)) return 'again';
      return { trigger: 'fail', patch: { errorReason: `Restoring failed: ${asked.failure.message}`, recoverable: true } };
    }
    if (asked.value.state !== 'done') return 'busy';
    return { trigger: 'restored', patch: { archive: null, archiveId: null, runnerId: this.#deps.runnerId, backupState: 'None', errorReason: null } };
  }

  /** null: there is nothing to wait for. */
  async #awaitPublication(row: Sandbox): Promise<Outcome | null> {
    const { images, publications } = this.#deps;
    const image = await images.get(row.image);
    if (!image || !publications.awaits(image)) return null;
    if (publications.isRunning(image.name)) return 'busy';
    if (image.publication !== 'refused' && !isOverdue(row)) return 'again';
    const reason = image.publishProblem ?? 'the registry does not answer';
    return { trigger: 'archiveFailed', patch: { ...GIVEN_UP, backupState: 'Error', errorReason: `Archiving failed: the snapshot that the sandbox was made from could not be stored: ${reason}` } };
  }

  #takeFailure(id: string, kind: RunnerTransfer['kind']): RunnerTransfer | null {
    const failure = this.#failures.get(id);
    this.#failures.delete(id);
    return failure?.kind === kind ? failure : null;
  }

  async #access(archiveId: string): Promise<ObjectAccess> {
    const known = this.#accesses.get(archiveId);
    if (known && known.until > Date.now()) return known.access;
    for (const [id, { until }] of this.#accesses) if (until <= Date.now()) this.#accesses.delete(id);
    const access = await this.#deps.objects.accessFor(
      { prefix: archivePrefix(archiveId), actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: ACCESS_SECONDS }, 'runner',
    );
    this.#accesses.set(archiveId, { access, until: Date.now() + ACCESS_SECONDS * 500 });
    return access;
  }
}

export function archivePrefix(archiveId: string): string {
  return `archives/${archiveId}/`;
}

/** The objects are nobody's from here on. */
const GIVEN_UP = { archiveId: null, archive: null } as const;

function isOverdue(row: Sandbox): boolean {
  return Date.now() - row.stateChangedAt.getTime() > PATIENCE_MS;
}
