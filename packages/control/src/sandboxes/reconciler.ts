import { setTimeout as sleep } from 'node:timers/promises';
import type { RunnerSandbox, RunnerTransfer } from '@paddock/contract';
import type { Logger } from 'pino';
import type { Database } from '../db/index.ts';
import type { Image, Images } from '../images/index.ts';
import type { RunnerClient, RunnerFailure } from '../runners/client.ts';
import type { DiskSteps } from './disk-steps.ts';
import { isTransient, type Outcome } from './outcome.ts';
import { isEphemeral, isWarm, releasedName, specOf, type Sandbox } from './sandbox.ts';
import { nextStep, PENDING_STATES, PENDING_TIMEOUT_MS, type Step, type Trigger } from './states.ts';
import type { MovePatch, SandboxStore } from './store.ts';
import type { StartTrace } from './timing.ts';

/**
 * Rows whose work is not done are looked for this often. Normally nothing is found: whoever commits a pending state wakes
 * the reconciler itself. It is for what a killed process left behind, and reconciling has ten seconds in all.
 */
const SWEEP_MS = 3_000;

/**
 * Rows are compared with what really exists this often, besides at each connection to the runner. The runner reports every
 * unasked end by itself, so this only finds what nobody saw.
 */
const COMPARE_MS = 30_000;

/** First pause after a step whose outcome is open; doubles up to `LONGEST_PAUSE_MS`, which leaves time for a retry within ten seconds. */
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/** The runner may hold a lock for a stop of 10 s and a start; a waiter behind both is still served. */
const LOCK_TIMEOUT_MS = 120_000;

/** Traces of starts that wait to be read; those nobody reads are pushed out by later ones. */
const TRACES_KEPT = 256;

/** What is in progress gets this long to end when the process stops; the next process finds the rest in the rows. */
const STOP_MS = 2_000;

export interface ReconcilerDeps {
  readonly db: Pick<Database, 'withLock'>;
  readonly store: SandboxStore;
  readonly runner: RunnerClient;
  readonly images: Pick<Images, 'get' | 'move'>;
  readonly diskSteps: DiskSteps;
  /** Written into `runner_id` of what this runner holds. */
  readonly runnerId: string;
  readonly log: Logger;
}

/**
 * Drives what exists to what the rows want. It looks at nothing but the row and the runner, under the sandbox's lock, and
 * every operation names the wanted end: it may be killed anywhere, run twice, or find half of its work done.
 */
export class Reconciler {
  readonly #deps: ReconcilerDeps;
  /** Running drives, and whether the row is to be looked at again after them. */
  readonly #driving = new Map<string, { again: boolean; done: Promise<void> }>();
  readonly #pauses = new Map<string, { timer: NodeJS.Timeout; pauseMs: number }>();
  readonly #traces = new Map<string, StartTrace>();
  readonly #timers: NodeJS.Timeout[] = [];
  #comparing: Promise<void> | null = null;
  #compareAgain = false;
  #stopped = false;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timers.push(setInterval(() => void this.#sweep(), SWEEP_MS), setInterval(() => this.compare(), COMPARE_MS));
    void this.#sweep();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const { timer } of this.#pauses.values()) clearTimeout(timer);
    this.#pauses.clear();
    const drives = [...this.#driving.values()].map(({ done }) => done);
    await Promise.race([Promise.all([...drives, this.#comparing]), sleep(STOP_MS, undefined, { ref: false })]);
  }

  /**
   * Something about the sandbox changed. Returns at once.
   * @param known the committed row, when the caller has it: spares a read on the hot path
   */
  wake(id: string, known?: Sandbox): void {
    if (this.#stopped) return;
    const running = this.#driving.get(id);
    if (running) {
      running.again = true;
      // The runner gives up a start when it is told to delete, so a delete need not outwait one that hangs. The step that
      // runs then finds the row destroying and asks for the deletion once more, as it would have anyway.
      if (known?.state === 'destroying') void this.#deps.runner.remove(id);
      return;
    }
    const done = this.#drive(id, known)
      .then(() => this.#settled(id), (error: unknown) => this.#pause(id, error))
      .finally(() => {
        this.#driving.delete(id);
        if (drive.again) this.wake(id);
      });
    const drive = { again: false, done };
    this.#driving.set(id, drive);
  }

  /** How the last start of the sandbox went, once. */
  takeTrace(id: string): StartTrace | undefined {
    const trace = this.#traces.get(id);
    this.#traces.delete(id);
    return trace;
  }

  /** The runner says that the sandbox ended by itself. */
  exited(id: string): void {
    void this.#correct(id).catch((error: unknown) => {
      this.#deps.log.warn({ sandboxId: id, err: error }, 'the end of a sandbox could not be recorded, comparing everything');
      this.compare();
    });
  }

  /** Sandboxes may wait for the image. */
  imageChanged(image: Image): void {
    if (this.#stopped) return;
    this.#deps.store.waitingFor(image.name).then((ids) => ids.forEach((id) => this.wake(id)), (error: unknown) => {
      this.#deps.log.debug({ image: image.name, err: error }, 'sandboxes that wait for an image could not be read; the sweep finds them');
    });
  }

  /** The runner says that an archive or a restore ended. */
  transferEnded(transfer: RunnerTransfer): void {
    this.#deps.diskSteps.ended(transfer);
    this.wake(transfer.id);
  }

  /** Compares all rows with all that exists; repeated until it worked. */
  compare(): void {
    if (this.#stopped) return;
    if (this.#comparing) {
      this.#compareAgain = true;
      return;
    }
    this.#comparing = this.#compareUntilDone().finally(() => {
      this.#comparing = null;
      if (this.#compareAgain) {
        this.#compareAgain = false;
        this.compare();
      }
    });
  }

  async #drive(id: string, known?: Sandbox): Promise<void> {
    await this.#exclusive(id, async () => {
      let row = known ?? (await this.#deps.store.byId(id));
      while (row && !this.#stopped) {
        const step = nextStep(row.state, row.desiredState);
        if (!step) return;
        const outcome: Outcome = 'begin' in step ? { trigger: step.begin, patch: beginPatch(step.begin, row) } : await this.#act(step.do, row);
        const open = outcome === 'again' || outcome === 'wait' || outcome === 'busy';
        if (open && (outcome === 'busy' || !isLate(row))) {
          if (outcome === 'again') throw new OutcomeOpen();
          return;
        }
        const { trigger, patch } = open ? timedOut(row) : outcome;
        const moved = await this.#deps.store.move(row, trigger, patch);
        // The row says that the disk is elsewhere: the runner's can go. One that stays is found when everything is compared.
        if (moved?.state === 'archived') await this.#deps.runner.remove(id);
        row = moved ?? (await this.#deps.store.byId(id));
      }
    });
  }

  async #act(what: Extract<Step, { do: unknown }>['do'], row: Sandbox): Promise<Outcome> {
    const { runner, runnerId, diskSteps } = this.#deps;
    if (what === 'resize' || what === 'snapshot' || what === 'archive' || what === 'restore') return diskSteps[what](row);
    if (what === 'image') return this.#awaitImage(row);
    if (what === 'put') {
      const sentAt = performance.now();
      const started = await runner.put(specOf(row));
      if (started.ok) this.#keepTrace(row.id, { sentAt, answeredAt: performance.now(), steps: started.value.trace });
      const trigger = row.state === 'creating' ? 'created' : 'started';
      if (started.ok) return { trigger, patch: { runnerId, daemonVersion: started.value.toolboxVersion, errorReason: null, recoverable: false } };
      if (row.state === 'creating' && NO_IMAGE.has(started.failure.code)) return this.#withoutImage(row, started.failure);
      // A disk that was there before the start still is: the sandbox can be recovered.
      return failed(started.failure, row.state === 'starting');
    }
    if (what === 'stop') {
      const stopped = await runner.stop(row.id, { force: row.forceStop });
      if (stopped.ok) return { trigger: 'stopped', patch: { errorReason: null, forceStop: false } };
      if (stopped.failure.code === 'SANDBOX_NOT_FOUND') return { trigger: 'lost', patch: { errorReason: LOST, recoverable: false } };
      return failed(stopped.failure, true);
    }
    const removed = await runner.remove(row.id);
    // Never an error state: a delete that did not work is a leak, so it is asked for again.
    return removed.ok ? { trigger: 'destroyed', patch: { runnerId: null, errorReason: null, recoverable: false, backupState: 'None' } } : 'again';
  }

  /** Its image is being built or pulled: whoever does that wakes us when there is news. */
  async #awaitImage(row: Sandbox): Promise<Outcome> {
    const image = await this.#deps.images.get(row.image);
    const isBuild = row.state !== 'pulling_snapshot';
    if (image?.state === 'ready') {
      const osUser = row.userGiven || !image.config?.user ? row.osUser : image.config.user;
      return { trigger: 'imageReady', patch: { osUser, errorReason: null } };
    }
    if (!image || image.state === 'failed' || image.state === 'removing') {
      return { trigger: isBuild ? 'buildFailed' : 'fail', patch: { errorReason: image?.reason ?? 'The image is gone; create the sandbox again', recoverable: false } };
    }
    return image.state === 'preparing' && row.state === 'pending_build' ? { trigger: 'building', patch: {} } : 'wait';
  }

  /** The runner has no such image, or none yet. */
  async #withoutImage(row: Sandbox, failure: RunnerFailure): Promise<Outcome> {
    const { images } = this.#deps;
    const image = await images.get(row.image);
    // It was free to go just before the sandbox came.
    if (image?.state === 'leaving' || image?.state === 'away') await images.move(row.image, 'want');
    const lost = image?.state === 'ready' && failure.code === 'IMAGE_NOT_FOUND' && (await images.move(row.image, 'lost', { sizeBytes: null })) !== null;
    if (lost || (image && UNDER_WAY.has(image.state))) return { trigger: 'pulling', patch: {} };
    return image?.state === 'failed' ? failed({ ...failure, code: 'IMAGE_NOT_FOUND', message: image.reason ?? failure.message }, false) : failed(failure, false);
  }

  #keepTrace(id: string, trace: StartTrace): void {
    this.#traces.set(id, trace);
    if (this.#traces.size > TRACES_KEPT) this.#traces.delete(this.#traces.keys().next().value!);
  }

  async #sweep(): Promise<void> {
    try {
      for (const id of await this.#deps.store.pending()) if (!this.#pauses.has(id)) this.wake(id);
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'sweep failed');
    }
  }

  async #compareUntilDone(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !this.#stopped; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        if (await this.#compareOnce()) return;
      } catch (error) {
        this.#deps.log.warn({ err: error }, 'comparing rows with the runner failed');
      }
      await sleep(pauseMs, undefined, { ref: false });
    }
  }

  async #compareOnce(): Promise<boolean> {
    // The runner first: a row is inserted before its sandbox is made, so what has no row afterwards really is nobody's.
    const existing = await this.#deps.runner.list();
    if (!existing.ok) return false;
    const actual = new Map(existing.value.map((sandbox) => [sandbox.id, sandbox.state]));
    const rows = await this.#deps.store.inventory();
    const suspects = new Set<string>();
    for (const { id, state } of rows) {
      if (PENDING_STATES.includes(state)) this.wake(id);
      else if (state !== 'error' && actual.get(id) !== state) suspects.add(id);
      else if (state === 'error' && actual.get(id) === 'started') suspects.add(id);
      actual.delete(id);
    }
    for (const id of actual.keys()) suspects.add(id);
    for (const id of suspects) await this.#correct(id);
    return true;
  }

  /** Brings row and reality of one settled sandbox together. Both are read again under the lock: a list is old at once. */
  async #correct(id: string): Promise<void> {
    const { store, runner, log } = this.#deps;
    await this.#exclusive(id, async () => {
      const existing = await runner.get(id);
      if (!existing.ok && existing.failure.code !== 'SANDBOX_NOT_FOUND') throw new OutcomeOpen();
      const actual = existing.ok ? existing.value : null;
      const row = await store.byId(id);
      if (!row || row.state === 'destroyed') {
        if (!actual) return;
        const removed = await runner.remove(id);
        log.info({ sandboxId: id, removed: removed.ok }, 'removed a sandbox that no row knows');
        if (!removed.ok) throw new OutcomeOpen();
        return;
      }
      const drift = driftOf(row, actual);
      if (!drift) return;
      if (drift === 'remove') {
        await runner.remove(id);
        return;
      }
      if (drift === 'stop') {
        await runner.stop(id, { force: true });
        return;
      }
      log.info({ sandboxId: id, state: row.state, actual: actual?.state ?? 'missing', move: drift.trigger }, 'sandbox drifted');
      await store.move(row, drift.trigger, drift.patch);
    });
    this.wake(id);
  }

  #exclusive(id: string, work: () => Promise<void>): Promise<void> {
    return this.#deps.db.withLock(`sandbox:${id}`, work, { timeoutMs: LOCK_TIMEOUT_MS });
  }

  #settled(id: string): void {
    clearTimeout(this.#pauses.get(id)?.timer);
    this.#pauses.delete(id);
  }

  #pause(id: string, error: unknown): void {
    if (this.#stopped) return;
    if (!(error instanceof OutcomeOpen)) this.#deps.log.warn({ sandboxId: id, err: error }, 'reconciling failed');
    const before = this.#pauses.get(id);
    clearTimeout(before?.timer);
    const pauseMs = Math.min((before?.pauseMs ?? FIRST_PAUSE_MS / 2) * 2, LONGEST_PAUSE_MS);
    const timer = setTimeout(() => this.wake(id), pauseMs);
    this.#pauses.set(id, { timer, pauseMs });
  }
}

/** The step was not refused and not confirmed: the next look at row and runner shows what came of it. */
class OutcomeOpen extends Error {
  override readonly name = 'OutcomeOpen';
}

const LOST = 'The sandbox no longer exists on its runner';

const NO_IMAGE: ReadonlySet<RunnerFailure['code']> = new Set(['IMAGE_NOT_READY', 'IMAGE_NOT_FOUND']);
const UNDER_WAY: ReadonlySet<Image['state']> = new Set(['pending', 'preparing', 'leaving', 'away']);

function failed(failure: RunnerFailure, recoverable: boolean): Outcome {
  if (isTransient(failure)) return 'again';
  return { trigger: 'fail', patch: { errorReason: failure.message, recoverable, forceStop: false } };
}

function isLate(row: Sandbox): boolean {
  const limitMs = PENDING_TIMEOUT_MS[row.state];
  return limitMs !== undefined && Date.now() - row.stateChangedAt.getTime() > limitMs;
}

function timedOut(row: Sandbox): { trigger: Trigger; patch: MovePatch } {
  const isBuild = row.state === 'pending_build' || row.state === 'building_snapshot';
  if (isBuild) return { trigger: 'buildFailed', patch: { errorReason: 'Timeout while building snapshot for sandbox', recoverable: false } };
  if (row.state === 'resizing' || row.state === 'snapshotting') return { trigger: 'settle', patch: { resizeTo: null, errorReason: `Timeout while ${row.state} sandbox` } };
  const hasDisk = row.state !== 'creating' && row.state !== 'pulling_snapshot';
  return { trigger: 'timeout', patch: { errorReason: `Timeout while ${row.state} sandbox`, recoverable: hasDisk } };
}

function beginPatch(trigger: 'start' | 'stop' | 'destroy', row: Sandbox): MovePatch {
  return trigger === 'destroy' ? { name: releasedName(row.name), warmKey: null } : {};
}

/** What to do about a settled row that reality contradicts. */
function driftOf(row: Sandbox, actual: RunnerSandbox | null): { trigger: Trigger; patch: MovePatch } | 'stop' | 'remove' | null {
  // Its disk is in the object store; what a runner still has of it was on the way out.
  if (row.state === 'archived') return actual ? 'remove' : null;
  if (row.state !== 'started' && row.state !== 'stopped' && row.state !== 'error') return null;
  if (actual?.state === row.state) return null;
  if (row.state === 'error') return actual?.state === 'started' ? 'stop' : null;
  if (isWarm(row)) return { trigger: 'destroy', patch: beginPatch('destroy', row) };
  if (!actual) return { trigger: 'lost', patch: { errorReason: LOST, recoverable: false } };
  if (actual.state === 'broken') return { trigger: 'lost', patch: { errorReason: actual.reason ?? 'The sandbox is damaged', recoverable: false } };
  if (row.state === 'stopped') return 'stop';
  if (isEphemeral(row)) return { trigger: 'destroy', patch: beginPatch('destroy', row) };
  return { trigger: 'exited', patch: { errorReason: actual.reason ?? null } };
}
