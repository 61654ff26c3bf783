import { randomUUID } from 'node:crypto';
import type { PaddockConfig } from '@paddock/contract';
import type { Logger } from 'pino';
import type { Database } from '../db/index.ts';
import { ApiError, StatusError } from '../http/index.ts';
import { startedEntrypoint, type Images } from '../images/index.ts';
import { overPerSandboxLimit, type Organizations, type OrganizationRules, type ResourceAmounts } from '../organizations/index.ts';
import type { Regions } from '../regions/index.ts';
import type { RunnerClient } from '../runners/index.ts';
import { shownUser, type Snapshots, type UsableSnapshot } from '../snapshots/index.ts';
import { nestedMounts, type Volumes } from '../volumes/index.ts';
import type { Changes } from './changes.ts';
import type { BuildCreate, CreateRequest } from './create-request.ts';
import { isEphemeral, NO_ORGANIZATION, releasedName, type NewSandbox, type Sandbox } from './sandbox.ts';
import { canMove, INITIAL, INITIAL_BUILD, PENDING_STATES, type Trigger } from './states.ts';
import { isUuid, NAME_TAKEN, VOLUME_GONE, type MovePatch, type SandboxStore } from './store.ts';
import { addStart, type StartTrace, type Timing } from './timing.ts';
import { newAuthToken } from './tokens.ts';

/** wire: create and start answer with the outcome when there is one within 30 s. */
const START_WAIT_MS = 30_000;
/**
 * A stop usually takes some milliseconds, and an answer that says `stopped` saves the client a round of waiting. One that
 * takes its full grace period is not waited for: the client hears of it by event.
 */
const STOP_WAIT_MS = 1_000;
/** A row moves on between reading and writing once or twice at most, never this often. */
const MOVE_ATTEMPTS = 10;

/** The warm pool as a create sees it. */
export interface WarmSource {
  serves(snapshot: string): boolean;
  keyOf(sandbox: NewSandbox): string;
  whileCreating<T>(create: () => Promise<T>): Promise<T>;
}

export interface LifecycleDeps {
  readonly config: Pick<PaddockConfig, 'defaultSnapshot'>;
  readonly db: Pick<Database, 'tx'>;
  readonly images: Images;
  readonly organizations: Organizations;
  readonly regions: Regions;
  readonly snapshots: Snapshots;
  readonly volumes: Pick<Volumes, 'resolve' | 'recordUse'>;
  readonly store: SandboxStore;
  readonly changes: Changes;
  readonly runner: RunnerClient;
  readonly runnerId: string;
  readonly warm: WarmSource;
  /** How the last start of a sandbox went, once. */
  readonly startTrace: (id: string) => StartTrace | undefined;
  readonly log: Logger;
}

/** What a request can do to a sandbox's life. Decides and commits; the reconciler acts. */
export class Lifecycle {
  readonly #deps: LifecycleDeps;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
  }

  create(organizationId: string, request: CreateRequest, timing: Timing): Promise<Sandbox> {
    return this.#deps.warm.whileCreating(async () => {
      const { wanted, initial } = await this.#resolve(organizationId, request);
      timing.mark('resolved');
      if (initial === INITIAL_BUILD) return this.#insert(wanted, initial);
      return (await this.#createWarm(wanted, request, timing)) ?? this.#createCold(wanted, timing);
    });
  }

  /** A row for a sandbox that waits for an owner; null while the snapshot cannot be used. */
  async prepareWarm(snapshotName: string, regionId: string): Promise<NewSandbox | null> {
    const found = await this.#deps.snapshots.findForCreate(NO_ORGANIZATION, snapshotName, regionId);
    if (!('snapshot' in found)) return null;
    const id = randomUUID();
    const sandbox: NewSandbox = {
      ...materialOf(found.snapshot), id, organizationId: NO_ORGANIZATION, name: id, regionId, runnerId: this.#deps.runnerId, env: {}, labels: {}, public: false,
      autoStopInterval: 0, autoArchiveInterval: 0, autoDeleteInterval: -1, autoDestroyAt: null, networkBlockAll: false, networkAllowList: null,
      volumes: [], authToken: newAuthToken(), warmKey: null,
    };
    return { ...sandbox, warmKey: this.#deps.warm.keyOf(sandbox) };
  }

  /** wire: a started one is left alone; from stopped only; answers with the outcome. */
  async start(organizationId: string, idOrName: string): Promise<Sandbox> {
    const sandbox = await this.find(organizationId, idOrName);
    if (sandbox.state === 'started' && sandbox.desiredState === 'started') return sandbox;
    if (sandbox.state !== 'archiving') refuseWhilePending(sandbox);
    if (sandbox.state === 'error') throw new StatusError(400, 'Sandbox is in an errored state');
    if (!canMove('start', sandbox.state) && sandbox.state !== 'archived') throw new StatusError(400, 'Sandbox is not in valid state');
    await this.#refuseSuspended(organizationId);
    if (sandbox.state === 'archived') return this.#startFrom(sandbox, 'restore');
    const trigger = 'start';
    try {
      // wire: one that is being archived starts, and its archive is given up.
      return await this.#startFrom(sandbox, trigger, sandbox.state === 'archiving' ? { archiveId: null, archive: null, backupState: 'None' } : {});
    } catch (error) {
      // The archive was finished in between: then it is restored.
      const row = sandbox.state === 'archiving' ? await this.#deps.store.byId(sandbox.id) : null;
      if (row?.state !== 'archived') throw error;
      return this.#startFrom(row, 'restore');
    }
  }

  /**
   * wire: only what failed with its disk intact can be recovered. One whose disk is full gets 5 % more, twice at most.
   * @param organizationId null: any, for administrators @param skipStart it is stopped then, or archived
   */
  async recover(organizationId: string | null, idOrName: string, skipStart = false): Promise<Sandbox> {
    const sandbox = organizationId === null ? await this.#findAny(idOrName) : await this.find(organizationId, idOrName);
    if (sandbox.state !== 'error') throw new StatusError(400, 'Sandbox must be in error state to recover');
    if (!sandbox.recoverable) throw new StatusError(400, 'Sandbox is not in a recoverable error state');
    await this.#refuseSuspended(sandbox.organizationId);
    const patch = isDiskFull(sandbox.errorReason) ? { diskGrownPercent: grown(sandbox) } : {};
    if (!skipStart) return this.#startFrom(sandbox, sandbox.archive ? 'restore' : 'recover', patch);
    const outcome = this.#deps.changes.next(sandbox.id, (row) => row.state !== 'stopping', STOP_WAIT_MS);
    const recovered = await this.#move(sandbox, sandbox.archive ? 'recoverArchived' : 'recoverStopped', {
      ...patch, errorReason: null, recoverable: false, ...(sandbox.archive ? { runnerId: null } : {}),
    });
    return recovered.state === 'stopping' ? (await outcome) ?? recovered : recovered;
  }

  /** wire: from started only, an already stopped one is 400; ephemeral ones are destroyed. */
  async stop(organizationId: string, idOrName: string, force: boolean): Promise<Sandbox> {
    const sandbox = await this.find(organizationId, idOrName);
    refuseWhilePending(sandbox);
    if (!canMove('stop', sandbox.state)) throw new StatusError(400, 'Sandbox is not in a stoppable state');
    if (isEphemeral(sandbox)) return this.#destroy(sandbox);
    const outcome = this.#deps.changes.next(sandbox.id, (row) => row.state !== 'stopping', STOP_WAIT_MS);
    const stopping = await this.#move(sandbox, 'stop', { forceStop: force });
    return (await outcome) ?? stopping;
  }

  /** Accepted in every state; the name is free when this returns. wire: a second delete is 404. */
  async destroy(organizationId: string, idOrName: string): Promise<Sandbox> {
    const sandbox = await this.find(organizationId, idOrName);
    if (sandbox.desiredState === 'destroyed') throw new ApiError('SANDBOX_NOT_FOUND', { id: idOrName });
    return this.#destroy(sandbox);
  }

  async find(organizationId: string, idOrName: string): Promise<Sandbox> {
    const sandbox = await this.#deps.store.find(organizationId, idOrName);
    if (!sandbox) throw new ApiError('SANDBOX_NOT_FOUND', { id: idOrName });
    return sandbox;
  }

  async #findAny(id: string): Promise<Sandbox> {
    const sandbox = isUuid(id) ? await this.#deps.store.byId(id) : null;
    if (!sandbox || sandbox.state === 'destroyed') throw new ApiError('SANDBOX_NOT_FOUND', { id });
    return sandbox;
  }

  /** wire: region, snapshot, suspension, quota, in this order. */
  async #resolve(organizationId: string, request: CreateRequest): Promise<{ readonly wanted: NewSandbox; readonly initial: Initial }> {
    const { organizations, regions, volumes, config, runnerId } = this.#deps;
    const rules = await organizations.rules(organizationId);
    if (!rules) throw new ApiError('WRONG_CONTEXT');
    let regionId = rules.defaultRegionId;
    if (request.target) {
      const region = await regions.resolve(organizationId, request.target);
      if (!region) throw new ApiError('REGION_NOT_FOUND');
      regionId = region.id;
    }
    if (!regionId) throw new StatusError(400, 'This organization does not have a default region. Please set a default region before creating a sandbox.');
    const mounts = await volumes.resolve(organizationId, request.volumes);
    const id = randomUUID();
    const { material, initial } = request.build
      ? await this.#build(organizationId, request.build, rules)
      : { material: await this.#snapshot(organizationId, request.snapshot ?? config.defaultSnapshot, regionId, rules), initial: INITIAL };
    const wanted: NewSandbox = {
      ...material, id, organizationId, name: request.name ?? id, regionId, runnerId, ...(request.user === null ? {} : { osUser: request.user, userGiven: true }),
      env: request.env, labels: request.labels, public: request.public, autoStopInterval: request.autoStopInterval,
      autoArchiveInterval: request.autoArchiveInterval, autoDeleteInterval: request.autoDeleteInterval,
      autoDestroyAt: request.ttlMinutes > 0 ? new Date(Date.now() + request.ttlMinutes * 60_000) : null,
      networkBlockAll: request.networkBlockAll, networkAllowList: request.networkAllowList, volumes: mounts, authToken: newAuthToken(), warmKey: null,
    };
    this.#recordUse(mounts);
    return { wanted, initial };
  }

  /** A statistic, and news for clients. */
  #recordUse(mounts: Sandbox['volumes']): void {
    void this.#deps.volumes.recordUse(mounts).catch((error: unknown) => this.#deps.log.debug({ err: error }, 'the use of volumes could not be recorded'));
  }

  async #snapshot(organizationId: string, idOrName: string, regionId: string, rules: OrganizationRules): Promise<Material> {
    const { snapshots } = this.#deps;
    const found = await snapshots.findForCreate(organizationId, idOrName, regionId);
    if (!('snapshot' in found)) throw new StatusError(found.status, found.problem);
    const { snapshot } = found;
    refuse(snapshot, rules);
    void snapshots.recordUse(snapshot.id).catch(() => undefined); // a statistic
    return materialOf(snapshot);
  }

  /** wire: when the image is there already the create is one like any other; otherwise it is answered before the build begins. */
  async #build(organizationId: string, { dockerfile, contextHashes, cpu, memoryGiB, diskGiB }: BuildCreate, rules: OrganizationRules) {
    const { db, images } = this.#deps;
    refuse({ cpu, memoryGiB, diskGiB }, rules);
    const image = await db.tx((tx) => images.wantBuild(tx, organizationId, { dockerfile, contextHashes }));
    images.wake(image.name);
    const material: Material = {
      snapshot: null, buildInfo: { dockerfile, contextHashes, createdAt: new Date().toISOString() }, image: image.name,
      entrypoint: startedEntrypoint(dockerfile), osUser: shownUser(image.config), userGiven: false, cpu, memory: memoryGiB, disk: diskGiB,
    };
    return { material, initial: image.state === 'ready' ? INITIAL : INITIAL_BUILD };
  }

  /** @returns null when no sandbox waits that fits */
  async #createWarm(wanted: NewSandbox, request: CreateRequest, timing: Timing): Promise<Sandbox | null> {
    const { warm, store, changes, log } = this.#deps;
    // A volume inside another one can only be mounted before anything runs that might have put something else there.
    if (wanted.snapshot === null || !warm.serves(wanted.snapshot) || nestedMounts(wanted.volumes)) return null;
    const adapt = wanted.volumes.length > 0 || Object.keys(wanted.env).length > 0 || wanted.networkBlockAll || wanted.networkAllowList !== null;
    const claimed = await store.claim({ ...wanted, name: request.name, warmKey: warm.keyOf(wanted), adapt });
    if (claimed === NAME_TAKEN) throw nameTaken(wanted.name);
    timing.mark(claimed ? 'claimed' : 'none to claim');
    if (!claimed || !adapt) return claimed;
    // The reconciler heard of the claim and needs a round trip to the runner: its outcome cannot have come yet.
    const outcome = (await changes.next(claimed.id, (row) => row.state !== 'starting', START_WAIT_MS)) ?? claimed;
    timing.mark('adapted');
    if (outcome.state !== 'error') return outcome;
    log.warn({ sandboxId: claimed.id, reason: outcome.errorReason }, 'a warm sandbox could not be adapted, creating a cold one');
    await this.#destroy(outcome);
    return null;
  }

  async #createCold(wanted: NewSandbox, timing: Timing): Promise<Sandbox> {
    const { changes, startTrace } = this.#deps;
    const given = new AbortController();
    const outcome = changes.next(wanted.id, (row) => row.state !== 'creating' && row.state !== 'pulling_snapshot', START_WAIT_MS, given.signal);
    try {
      const inserted = await this.#insert(wanted, INITIAL);
      timing.mark('row written');
      const result = (await outcome) ?? inserted;
      const trace = startTrace(wanted.id);
      if (trace) addStart(timing, trace);
      timing.mark('outcome written');
      return started(result);
    } finally {
      given.abort();
    }
  }

  async #insert(wanted: NewSandbox, initial: Initial): Promise<Sandbox> {
    const inserted = await this.#deps.store.insert(wanted, initial);
    if (inserted === NAME_TAKEN) throw nameTaken(wanted.name);
    if (inserted === VOLUME_GONE) throw new StatusError(400, 'A volume was deleted while the sandbox was created');
    return inserted;
  }

  async #startFrom(sandbox: Sandbox, trigger: 'start' | 'recover' | 'restore', patch: MovePatch = {}): Promise<Sandbox> {
    this.#recordUse(sandbox.volumes);
    const given = new AbortController();
    const outcome = this.#deps.changes.next(sandbox.id, (row) => row.state !== 'starting' && row.state !== 'restoring', START_WAIT_MS, given.signal);
    try {
      // wire: the preview token is a new one after each start.
      const starting = await this.#move(sandbox, trigger, { ...patch, authToken: newAuthToken(), errorReason: null, recoverable: false });
      return started((await outcome) ?? starting);
    } finally {
      given.abort();
    }
  }

  async #destroy(sandbox: Sandbox): Promise<Sandbox> {
    let row: Sandbox | null = sandbox;
    for (let attempt = 0; row && attempt < MOVE_ATTEMPTS; attempt++) {
      if (!canMove('destroy', row.state)) return row; // somebody else's delete came first
      const moved = await this.#deps.store.move(row, 'destroy', { name: releasedName(row.name), warmKey: null });
      if (moved) return moved;
      row = await this.#deps.store.byId(row.id);
    }
    if (!row) throw new ApiError('SANDBOX_NOT_FOUND', { id: sandbox.id });
    throw conflict();
  }

  async #move(sandbox: Sandbox, trigger: Trigger, patch: MovePatch): Promise<Sandbox> {
    const moved = await this.#deps.store.move(sandbox, trigger, patch);
    if (!moved) throw conflict();
    return moved;
  }

  async #refuseSuspended(organizationId: string): Promise<void> {
    const rules = await this.#deps.organizations.rules(organizationId);
    if (rules?.suspension) throw new StatusError(403, rules.suspension);
  }
}

export function refuseWhilePending(sandbox: Sandbox): void {
  if (PENDING_STATES.includes(sandbox.state)) throw new StatusError(409, 'Sandbox state change in progress');
}

/** wire: what upstream takes for a full disk. */
function isDiskFull(reason: string | null): boolean {
  return /no space left on device|storage limit|disk quota exceeded/i.test(reason ?? '');
}

/** wire: a full disk is enlarged in steps of 5 % up to 10 %, then no more. */
const GROWTH_STEP_PERCENT = 5;
const GROWTH_LIMIT_PERCENT = 10;

function grown({ diskGrownPercent }: Sandbox): number {
  if (diskGrownPercent < GROWTH_LIMIT_PERCENT) return diskGrownPercent + GROWTH_STEP_PERCENT;
  throw new StatusError(403, `The disk has been enlarged by ${GROWTH_LIMIT_PERCENT} % already. Recover with skipStart=true and resize the disk.`);
}

type Initial = typeof INITIAL | typeof INITIAL_BUILD;

/** What a sandbox is made of. */
type Material = Pick<NewSandbox, 'snapshot' | 'buildInfo' | 'image' | 'entrypoint' | 'osUser' | 'userGiven' | 'cpu' | 'memory' | 'disk'>;

function materialOf({ name, image, entrypoint, osUser, imageUser, cpu, memoryGiB, diskGiB }: UsableSnapshot): Material {
  return {
    snapshot: name, buildInfo: null, image, entrypoint, osUser: osUser ?? imageUser, userGiven: osUser !== null, cpu, memory: memoryGiB, disk: diskGiB,
  };
}

/** wire: a suspended organization, then what is too large. */
function refuse(asked: ResourceAmounts, rules: OrganizationRules): void {
  if (rules.suspension) throw new StatusError(403, rules.suspension);
  const over = overPerSandboxLimit(asked, rules);
  if (over) throw new StatusError(400, over);
}

function started(sandbox: Sandbox): Sandbox {
  if (sandbox.state === 'error') throw new StatusError(400, `Sandbox failed to start: ${sandbox.errorReason ?? 'unknown reason'}`);
  if (sandbox.desiredState === 'destroyed') throw conflict();
  return sandbox;
}

function nameTaken(name: string): StatusError {
  return new StatusError(409, `Sandbox with name ${name} already exists`);
}

export function conflict(): StatusError {
  return new StatusError(409, 'Sandbox was modified by another operation');
}
