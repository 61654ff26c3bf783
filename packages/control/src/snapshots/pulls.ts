import type { Logger } from 'pino';
import { Drives, type Database } from '../db/index.ts';
import type { Images, RegistryCredentials } from '../images/index.ts';
import type { RunnerClient, RunnerFailure } from '../runners/index.ts';
import type { SnapshotRow } from './snapshot.ts';
import { tooLargeReason, type Snapshots } from './snapshots.ts';
import { unfinishedSnapshots } from './store.ts';

/** What a killed process left behind is looked for this often; normally nothing is found. */
const SWEEP_MS = 10_000;
/** wire: unused snapshots are looked for this often. */
const UNUSED_MS = 600_000;
/** Pauses of 2, 4, 8 and 16 seconds: a registry that is away for longer is an answer. */
const FIRST_RETRY_MS = 2_000;
const ATTEMPTS = 5;

export interface PullDeps {
  readonly db: Database;
  readonly snapshots: Snapshots;
  readonly images: Images;
  readonly runner: Pick<RunnerClient, 'inspect'>;
  readonly credentials: RegistryCredentials;
  readonly maxSizeGiB: (organizationId: string) => Promise<number>;
  /** Time as the auto-deactivation sees it. */
  readonly now?: () => Date;
  readonly log: Logger;
}

/**
 * Finds out what pending snapshots stand for: asks the registry for digest and size, then lets the runner's store have the image.
 * Also ends removals that a killed process began, and puts to sleep what nobody uses.
 */
export class SnapshotPulls {
  readonly #deps: PullDeps;
  readonly #drives: Drives;
  #intervals: NodeJS.Timeout[] = [];

  constructor(deps: PullDeps) {
    this.#deps = deps;
    this.#drives = new Drives({
      db: deps.db, lockOf: (id) => `snapshot:${id}`, drive: (id) => this.#drive(id),
      failed: (id, error) => {
        deps.log.warn({ snapshotId: id, err: error }, 'a snapshot could not be looked up');
        return FIRST_RETRY_MS;
      },
    });
    deps.snapshots.usePuller((id) => this.wake(id));
  }

  start(): void {
    this.#intervals = [setInterval(() => void this.#sweep(), SWEEP_MS), setInterval(() => void this.deactivateUnused(), UNUSED_MS)];
    void this.#sweep();
    void this.deactivateUnused();
  }

  stop(): void {
    this.#drives.stop();
    for (const timer of this.#intervals) clearTimeout(timer);
  }

  wake(id: string): void {
    this.#drives.wake(id);
  }

  async deactivateUnused(): Promise<void> {
    try {
      const count = await this.#deps.snapshots.deactivateUnused((this.#deps.now ?? (() => new Date()))());
      if (count > 0) this.#deps.log.info({ count }, 'deactivated snapshots that nobody used');
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'unused snapshots could not be looked for');
    }
  }

  /** @returns in how many ms to look again, null: when something changes */
  async #drive(id: string): Promise<number | null> {
    const { snapshots, images } = this.#deps;
    const row = await snapshots.byId(id);
    if (row?.state === 'removing') await snapshots.finishRemoval(id);
    if (row?.state !== 'pending' || row.image !== null) return null;
    const waitMs = (row.retry_at?.getTime() ?? 0) - Date.now();
    if (waitMs > 0) return waitMs;
    const { build_info: build } = row;
    if (build) {
      await snapshots.assign(row, (tx) => images.wantBuild(tx, row.organization_id, { dockerfile: build.dockerfile, contextHashes: build.contextHashes }), {});
      return null;
    }
    return this.#lookUp(row);
  }

  async #lookUp(row: SnapshotRow): Promise<number | null> {
    const { snapshots, images, runner, credentials, maxSizeGiB } = this.#deps;
    // Looked up once, it stands for that content even when the tag moves.
    const wanted = row.ref ?? row.image_name;
    if (wanted === null) return this.#fail(row, 'The snapshot has no image');
    let access: Awaited<ReturnType<RegistryCredentials['access']>>;
    try {
      access = await credentials.access(row.organization_id, wanted);
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 400) return this.#fail(row, (error as Error).message);
      throw error;
    }
    const inspected = await runner.inspect(access.reference, access.auth);
    if (!inspected.ok) return this.#failed(row, inspected.failure);
    const { sizeBytes, reference } = inspected.value;
    const max = await maxSizeGiB(row.organization_id);
    if (sizeBytes > max * 1024 ** 3) return this.#fail(row, tooLargeReason(sizeBytes, max));
    await snapshots.assign(row, (tx) => images.wantFromRegistry(tx, row.organization_id, reference), { ref: reference, sizeBytes });
    return null;
  }

  async #failed(row: SnapshotRow, { code, message }: RunnerFailure): Promise<number | null> {
    // The runner is away: says nothing about the registry.
    if (code === 'UNAVAILABLE') return FIRST_RETRY_MS;
    const attempts = row.attempts + 1;
    if (FINAL.has(code) || attempts >= ATTEMPTS) return this.#fail(row, message);
    const pauseMs = FIRST_RETRY_MS * 2 ** (attempts - 1);
    await this.#deps.snapshots.change(row, 'retry', { attempts, retryAt: new Date(Date.now() + pauseMs), errorReason: message });
    return pauseMs;
  }

  async #fail(row: SnapshotRow, errorReason: string): Promise<null> {
    this.#deps.log.info({ snapshotId: row.id, reason: errorReason }, 'a snapshot\'s image cannot be had');
    await this.#deps.snapshots.change(row, 'fail', { errorReason, attempts: 0, retryAt: null });
    return null;
  }

  async #sweep(): Promise<void> {
    try {
      for (const { id } of await this.#deps.db.query(unfinishedSnapshots)) this.#drives.wakeUnlessWaiting(id);
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'unfinished snapshots could not be looked for');
    }
  }
}

/** Asking again would give the same answer. */
const FINAL: ReadonlySet<RunnerFailure['code']> = new Set(['IMAGE_NOT_FOUND', 'REGISTRY_FAILED', 'INVALID_SPEC']);
