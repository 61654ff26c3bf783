import { StatusError } from '../http/index.ts';
import type { Images } from '../images/index.ts';
import { overPerSandboxLimit, type Organizations } from '../organizations/index.ts';
import type { Snapshots } from '../snapshots/index.ts';
import type { Changes } from './changes.ts';
import { conflict, refuseWhilePending } from './lifecycle.ts';
import { isEphemeral, newArchive, type Resources, type Sandbox } from './sandbox.ts';
import { canMove } from './states.ts';
import type { SandboxStore } from './store.ts';

/** Resizes and snapshots take milliseconds unless the machine is busy; an answer with the outcome spares the client its waiting. */
const OUTCOME_WAIT_MS = 10_000;
/** An archive usually takes longer than a client should be kept; a small one is done by then. */
const ARCHIVE_WAIT_MS = 1_000;

export interface DiskOperationsDeps {
  readonly find: (organizationId: string, idOrName: string) => Promise<Sandbox>;
  readonly store: SandboxStore;
  readonly changes: Changes;
  readonly organizations: Organizations;
  readonly snapshots: Pick<Snapshots, 'createFromSandbox' | 'get'>;
  readonly images: Pick<Images, 'get'>;
}

export type ResizeRequest = Partial<Resources>;

/** What a request can do to a sandbox's size and disk. Decides and commits; the reconciler acts. */
export class DiskOperations {
  readonly #deps: DiskOperationsDeps;

  constructor(deps: DiskOperationsDeps) {
    this.#deps = deps;
  }

  /** wire: started ones may only grow, and not their disk; a disk never shrinks; asking for what it has is 400. */
  async resize(organizationId: string, idOrName: string, request: ResizeRequest): Promise<Sandbox> {
    const { find, store, organizations } = this.#deps;
    const sandbox = await find(organizationId, idOrName);
    refuseWhilePending(sandbox);
    if (!canMove('resize', sandbox.state)) throw new StatusError(400, 'Sandbox must be in started or stopped state to resize');
    const wanted: Resources = { cpu: request.cpu ?? sandbox.cpu, memory: request.memory ?? sandbox.memory, disk: request.disk ?? sandbox.disk };
    if (wanted.disk < sandbox.disk) throw new StatusError(400, 'Sandbox disk size cannot be decreased');
    if (sandbox.state === 'started') {
      if (wanted.disk > sandbox.disk) throw new StatusError(400, 'Disk resize can only be performed on a stopped sandbox: stop it first');
      if (wanted.cpu < sandbox.cpu) throw new StatusError(400, 'Sandbox must be in stopped state to decrease the number of CPU cores');
      if (wanted.memory < sandbox.memory) throw new StatusError(400, 'Sandbox must be in stopped state to decrease memory');
    }
    if (wanted.cpu === sandbox.cpu && wanted.memory === sandbox.memory && wanted.disk === sandbox.disk) {
      throw new StatusError(400, 'Sandbox already has these resources: no change was asked for');
    }
    const rules = await organizations.rules(organizationId);
    if (!rules || rules.suspension) throw new StatusError(403, rules?.suspension ?? 'Unknown organization');
    const over = overPerSandboxLimit({ cpu: wanted.cpu, memoryGiB: wanted.memory, diskGiB: wanted.disk }, rules);
    if (over) throw new StatusError(400, over);
    const { sandbox: row, done } = await this.#andOutcome(sandbox, 'resizing', OUTCOME_WAIT_MS, () => store.move(sandbox, 'resize', { resizeTo: wanted }));
    const applied = row.cpu === wanted.cpu && row.memory === wanted.memory && row.disk === wanted.disk;
    if (done && !applied) throw new StatusError(400, row.errorReason ?? 'Resize failed');
    return row;
  }

  /** wire: stopped ones only, and none that is deleted when it stops. */
  async archive(organizationId: string, idOrName: string): Promise<Sandbox> {
    const { find, store } = this.#deps;
    const sandbox = await find(organizationId, idOrName);
    refuseWhilePending(sandbox);
    if (sandbox.state !== 'stopped') throw new StatusError(400, 'Sandbox is not stopped');
    if (isEphemeral(sandbox)) throw new StatusError(400, 'Ephemeral sandboxes cannot be archived');
    return (await this.#andOutcome(sandbox, 'archiving', ARCHIVE_WAIT_MS, () => store.move(sandbox, 'archive', newArchive()))).sandbox;
  }

  /** wire: deprecated; refused while there is one in progress. Without effect else: backups are made by archiving. */
  async backup(organizationId: string, idOrName: string): Promise<Sandbox> {
    const sandbox = await this.#deps.find(organizationId, idOrName);
    if (isEphemeral(sandbox)) throw new StatusError(400, 'Ephemeral sandboxes do not have backups');
    if (sandbox.backupState === 'InProgress') throw new StatusError(400, 'A backup of the sandbox is in progress: it is being archived');
    return sandbox;
  }

  /** wire: live or stopped; the snapshot is there at once as `snapshotting`; a name that is taken is 409. */
  async snapshot(organizationId: string, idOrName: string, name: string, includeMemory: boolean): Promise<Sandbox> {
    const { find, store, snapshots, images } = this.#deps;
    const sandbox = await find(organizationId, idOrName);
    refuseWhilePending(sandbox);
    if (!canMove('snapshot', sandbox.state)) throw new StatusError(400, 'Sandbox must be in started or stopped state to create a snapshot');
    if (includeMemory) throw new StatusError(400, 'Container sandboxes do not support memory snapshots: leave includeMemory out');
    const { image } = await snapshots.createFromSandbox({
      organizationId, name, sandboxId: sandbox.id, regionId: sandbox.regionId, cpu: sandbox.cpu, memoryGiB: sandbox.memory, diskGiB: sandbox.disk,
      osUser: sandbox.userGiven ? sandbox.osUser : null, entrypoint: sandbox.entrypoint,
    });
    // The snapshot is under way whether or not the row is still what it was: a stop at this moment does not touch it.
    const { sandbox: row, done } = await this.#andOutcome(sandbox, 'snapshotting', OUTCOME_WAIT_MS, async () => (await store.move(sandbox, 'snapshot')) ?? store.byId(sandbox.id));
    const made = done ? await images.get(image) : null;
    if (made?.state === 'failed') throw new StatusError(400, `Snapshot ${name} could not be created: ${made.reason ?? 'unknown reason'}`);
    return row;
  }

  /** Sets the sandbox going and waits a while until it leaves the state that says so. @param done it has left it */
  async #andOutcome(sandbox: Sandbox, pendingState: Sandbox['state'], waitMs: number, move: () => Promise<Sandbox | null>): Promise<{ readonly sandbox: Sandbox; readonly done: boolean }> {
    const given = new AbortController();
    const outcome = this.#deps.changes.next(sandbox.id, (row) => row.state !== pendingState, waitMs, given.signal);
    try {
      const moved = await move();
      if (!moved) throw conflict();
      if (moved.state !== pendingState) return { sandbox: moved, done: true };
      const row = await outcome;
      return row ? { sandbox: row, done: true } : { sandbox: moved, done: false };
    } finally {
      given.abort();
    }
  }
}
