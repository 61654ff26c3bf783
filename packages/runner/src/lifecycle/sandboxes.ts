/** The sandboxes of this runner: one entry each, one operation at a time on each, written down before it acts. */
import { availableParallelism, constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunnerSandbox, SandboxPatch, SandboxSpec, StartedSandbox, StopRequest } from '@paddock/contract';
import { describeStatus, type WatchedProcess } from '../engine/exit-watch.ts';
import { GIB, limitsOf } from '../engine/launcher.ts';
import { startTime } from '../engine/runtime.ts';
import { RunnerError } from '../runner-error.ts';
import type { View } from '../types.ts';
import { Gate, Lanes } from './lanes.ts';
import type { Parts } from './parts.ts';
import { SHOWN_AS, type Phase } from './phases.ts';
import type { SandboxRecord } from './records.ts';
import { takeMoment, type Moment } from './snapshot.ts';
import { imageOf, start } from './start.ts';
import { teardown } from './teardown.ts';
import { Trace } from './trace.ts';

/**
 * A start is mostly the kernel's and the runtime's processor time: more at a time than twice the cores only makes each
 * slower. Four keep a small machine busy through the waits of a start.
 */
const STARTS_AT_ONCE = Math.max(4, 2 * availableParallelism());

/** Removals hand their work to the kernel; more at a time would take processor time from starts. */
const REMOVALS_AT_ONCE = 4;

/** Wire: a stop gives ten seconds before the kill. */
const GRACE_MS = 10_000;

/** Sandboxes that the runner starts for itself are no business of its callers. Theirs have UUIDs. */
export const INTERNAL_PREFIX = 'build-';

export function isInternal(id: string): boolean {
  return id.startsWith(INTERNAL_PREFIX);
}

export interface Entry {
  record: SandboxRecord;
  process: WatchedProcess | null;
}

/** What making an image of a sandbox needs of it. */
export interface SandboxSnapshots {
  /** Name of the image it was made from. */
  imageOf(id: string): string;
  imageSize(image: string): number;
  /** Keeps its disk as it is at one moment as a template. @returns bytes that the disk is charged for */
  snapshot(id: string, template: string): Promise<Moment & { readonly bytes: number }>;
}

/** Work of others on the disk of a sandbox that does not run. A start, stop or delete of the sandbox ends it. */
export interface BorrowedDisk {
  withStoppedDisk(id: string, signal: AbortSignal, work: (spec: SandboxSpec, signal: AbortSignal) => Promise<void>): Promise<void>;
  /** A sandbox that is not here is here and stopped when `work` has made its disk; one that is here already stays as it is. */
  withMissingDisk(spec: SandboxSpec, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void>;
  isStopped(id: string): boolean;
}

export class Sandboxes implements SandboxSnapshots, BorrowedDisk {
  readonly #parts: Parts;
  readonly #entries = new Map<string, Entry>();
  readonly #lanes = new Lanes();
  readonly #starts = new Gate(STARTS_AT_ONCE);
  readonly #removals = new Gate(REMOVALS_AT_ONCE);
  /** Starts in progress, so that a delete need not wait for one that hangs. */
  readonly #starting = new Map<string, AbortController>();
  /** Disks that others work on. */
  readonly #borrowed = new Map<string, Set<AbortController>>();
  #loans = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  list(): RunnerSandbox[] {
    return [...this.#entries.values()].filter(({ record }) => !isInternal(record.spec.id)).map(shown);
  }

  /** The runner's own. */
  listInternal(): RunnerSandbox[] {
    return [...this.#entries.values()].filter(({ record }) => isInternal(record.spec.id)).map(shown);
  }

  get(id: string): RunnerSandbox {
    return shown(this.#entry(id));
  }

  get startedCount(): number {
    return [...this.#entries.values()].filter((entry) => SHOWN_AS[entry.record.phase] === 'started').length;
  }

  get count(): number {
    return this.#entries.size;
  }

  /** Images that sandboxes stand on, stopped ones too; null: there is one of which that is not known. */
  imagesInUse(): ReadonlySet<string> | null {
    const names = new Set([...this.#entries.values()].map(({ record }) => record.spec.image));
    return names.has('') ? null : names;
  }

  /** Guest runtimes that running sandboxes see. */
  guestsInUse(): Set<string> {
    return new Set([...this.#entries.values()].flatMap(({ record }) => record.run?.guest ?? []));
  }

  /** @param views for the start of a sandbox of the runner's own */
  /** Whether any sandbox, also a stopped one, has the volume. */
  hasVolume(volumeId: string): boolean {
    return [...this.#entries.values()].some(({ record }) => record.spec.volumes.some((mount) => mount.volumeId === volumeId));
  }

  /** Whether a sandbox that runs, or may be about to, has the volume. */
  mountsVolume(volumeId: string): boolean {
    return [...this.#entries.values()].some(({ record }) => record.phase !== 'stopped' && record.phase !== 'broken' && record.spec.volumes.some((mount) => mount.volumeId === volumeId));
  }

  put(spec: SandboxSpec, views: readonly View[] = []): Promise<StartedSandbox> {
    const trace = new Trace();
    this.#reclaim(spec.id, 'started');
    return this.#lanes.run(spec.id, `put ${JSON.stringify(spec)}`, () => this.#starts.run(async () => {
      trace.mark('queue');
      const entry = this.#entries.get(spec.id);
      if (entry?.record.phase === 'started') return this.#converge(entry, spec, trace);
      return this.#start(spec, views, entry, trace);
    }));
  }

  stop(id: string, how: StopRequest): Promise<RunnerSandbox> {
    const force = how.force === true;
    this.#reclaim(id, 'stopped');
    if (force) this.#starting.get(id)?.abort(new Error('it was stopped meanwhile'));
    return this.#lanes.run(id, `stop ${force}`, async () => {
      const entry = this.#entry(id);
      if (entry.record.phase === 'stopped') return shown(entry);
      await this.#save(entry, 'stopping', undefined, entry.record.run);
      if (!force && entry.process?.signal(constants.signals.SIGTERM)) await endedWithin(entry.process, GRACE_MS);
      await this.#halt(entry, undefined);
      return shown(entry);
    });
  }

  patch(id: string, patch: SandboxPatch): Promise<RunnerSandbox> {
    return this.#lanes.run(id, `patch ${JSON.stringify(patch)}`, async () => {
      const entry = this.#entry(id);
      await this.#apply(entry, { ...entry.record.spec, ...patch });
      return shown(entry);
    });
  }

  imageOf(id: string): string {
    return this.#entry(id).record.spec.image;
  }

  imageSize(image: string): number {
    return this.#parts.images.ofSandbox(image)?.sizeBytes ?? 0;
  }

  snapshot(id: string, template: string): Promise<Moment & { readonly bytes: number }> {
    return this.#lanes.run(id, `snapshot ${template}`, async () => {
      const { record } = this.#entry(id);
      if (record.phase !== 'started' && record.phase !== 'stopped') throw new RunnerError('INVALID_SPEC', `The sandbox is ${record.phase}: only a started or stopped one can be snapshotted`);
      const moment = await takeMoment(this.#parts, id, template, record.phase === 'started');
      const bytes = await this.#parts.disks.settleSnapshot(id, template, Math.round(record.spec.diskGiB * GIB));
      this.#parts.log.info({ op: 'snapshot', id, template, bytes, ...moment }, 'snapshot of a disk');
      return { ...moment, bytes };
    });
  }

  remove(id: string): Promise<void> {
    this.#starting.get(id)?.abort(new Error('it was deleted meanwhile'));
    this.#reclaim(id, 'deleted');
    return this.#lanes.run(id, 'remove', () => this.#removals.run(async () => {
      const entry = this.#entries.get(id);
      if (entry === undefined) return;
      await this.#save(entry, 'deleting', undefined, entry.record.run);
      await this.#erase(entry);
    }));
  }

  isStopped(id: string): boolean {
    return this.#entries.get(id)?.record.phase === 'stopped';
  }

  withStoppedDisk(id: string, signal: AbortSignal, work: (spec: SandboxSpec, signal: AbortSignal) => Promise<void>): Promise<void> {
    return this.#lend(id, signal, async (stop) => {
      const { record } = this.#entry(id);
      if (record.phase !== 'stopped') throw new RunnerError('INVALID_SPEC', `The sandbox is ${record.phase}: it must be stopped`);
      await work(record.spec, stop);
    });
  }

  withMissingDisk(spec: SandboxSpec, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    return this.#lend(spec.id, signal, async (stop) => {
      if (this.#entries.has(spec.id)) return;
      await work(stop);
      // The disk first: a record without one would start as an empty sandbox, a disk without a record is an orphan that is rebuilt.
      const entry: Entry = { record: { version: 1, spec, phase: 'stopped', run: null }, process: null };
      await this.#parts.records.write(entry.record);
      this.#entries.set(spec.id, entry);
    });
  }

  /** Takes in what recovery found. */
  restore(entry: Entry): void {
    this.#entries.set(entry.record.spec.id, entry);
    if (entry.process !== null) this.#watch(entry, entry.process);
  }

  /** Resolves when no operation is in progress. */
  idle(): Promise<void> {
    return this.#lanes.idle();
  }

  #lend(id: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    const loans = this.#borrowed.get(id) ?? new Set();
    this.#borrowed.set(id, loans.add(abort)); // from now on, so that nobody has to wait for one that has not begun
    return this.#lanes.run(id, `lend ${this.#loans++}`, async () => {
      const stop = AbortSignal.any([signal, abort.signal]);
      try {
        stop.throwIfAborted();
        await work(stop);
      } catch (error) {
        throw stop.aborted ? stop.reason : error;
      } finally {
        loans.delete(abort);
        if (loans.size === 0) this.#borrowed.delete(id);
      }
    });
  }

  #reclaim(id: string, wish: string): void {
    for (const loan of this.#borrowed.get(id) ?? []) loan.abort(new RunnerError('INVALID_SPEC', `The sandbox was ${wish} meanwhile`));
  }

  async #start(spec: SandboxSpec, views: readonly View[], existing: Entry | undefined, trace: Trace): Promise<StartedSandbox> {
    const image = imageOf(this.#parts, spec, existing !== undefined);
    if (existing !== undefined) {
      requireSameImage(existing.record.spec, spec);
      if (existing.record.phase !== 'stopped') await this.#halt(existing, existing.record.reason);
    }
    const entry = existing ?? { record: { version: 1, spec, phase: 'creating', run: null }, process: null } satisfies Entry;
    const abort = new AbortController();
    this.#starting.set(spec.id, abort);
    this.#entries.set(spec.id, entry);
    try {
      entry.record = { ...entry.record, spec };
      await this.#save(entry, existing === undefined ? 'creating' : 'starting', undefined, null);
      trace.mark('record');
      const { toolboxVersion } = await start(this.#parts, {
        spec, image, views, signal: abort.signal, mark: trace.mark,
        onRunning: async (init, slot) => {
          entry.process = init.process;
          await this.#save(entry, 'started', undefined, {
            pid: init.pid, startTime: init.startTime, slot, guest: this.#parts.launcher.guestVersion,
          });
          trace.mark('record started');
        },
      });
      trace.mark('started');
      this.#watch(entry, entry.process!);
      return { id: spec.id, state: 'started', toolboxVersion, trace: trace.steps };
    } catch (error) {
      // start() has given everything back.
      entry.process = null;
      entry.record = { ...entry.record, run: null };
      if (existing === undefined) await this.#erase(entry);
      else await this.#save(entry, 'stopped', (error as Error).message, null);
      throw error;
    } finally {
      this.#starting.delete(spec.id);
    }
  }

  /** PUT of a sandbox that runs: the difference is applied to it. */
  async #converge(entry: Entry, spec: SandboxSpec, trace: Trace): Promise<StartedSandbox> {
    requireSameImage(entry.record.spec, spec);
    if (entry.record.spec.user !== spec.user) throw new RunnerError('INVALID_SPEC', 'The user of a running sandbox cannot change: stop it first');
    const toolboxVersion = await this.#apply(entry, spec, true);
    trace.mark('converged');
    return { id: spec.id, state: 'started', toolboxVersion: toolboxVersion!, trace: trace.steps };
  }

  /** Applies a spec to a sandbox in any phase and then keeps it: a crash in between leaves the old one, and the caller asks again. */
  async #apply(entry: Entry, next: SandboxSpec, always = false): Promise<string | null> {
    const { spec, run, phase } = entry.record;
    const { network, cgroups, disks, launcher } = this.#parts;
    if (next.diskGiB < spec.diskGiB) throw new RunnerError('INVALID_SPEC', `A disk may only grow: it has ${spec.diskGiB} GiB`);
    if (changed(spec.volumes, next.volumes)) await this.#attach(entry, next);
    if (next.diskGiB !== spec.diskGiB) await disks.setQuota(spec.id, Math.round(next.diskGiB * GIB));
    let version: string | null = null;
    if (phase === 'started' && run !== null) {
      if (always || changed(spec.network, next.network)) await network.apply(run.slot, next.network);
      if (next.cpu !== spec.cpu || next.memoryGiB !== spec.memoryGiB) this.#resize(next);
      if (always || next.token !== spec.token || changed(spec.env, next.env)) {
        version = await launcher.tell(spec.id, { token: next.token, env: next.env });
      }
      if (next.cpu !== spec.cpu || next.memoryGiB !== spec.memoryGiB || next.diskGiB !== spec.diskGiB) await this.#showLimits(next);
    }
    entry.record = { ...entry.record, spec: next };
    await this.#parts.records.write(entry.record);
    return version;
  }

  /** Volumes that are new in `next`. Written down with the rest of it; an interrupted one is found mounted by the next try. */
  async #attach({ record, process: init }: Entry, next: SandboxSpec): Promise<void> {
    const { spec, run, phase } = record;
    if (phase !== 'started' || run === null || init === null) return;
    if (!spec.volumes.every((mount) => next.volumes.some((other) => !changed(mount, other)))) {
      throw new RunnerError('INVALID_SPEC', 'A running sandbox keeps its volumes: stop it first');
    }
    await this.#parts.volumes.attach(run.pid, () => startTime(run.pid) === run.startTime, next.volumes);
  }

  #resize(spec: SandboxSpec): void {
    try {
      this.#parts.cgroups.update(spec.id, limitsOf(spec));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
      throw new RunnerError('INVALID_SPEC', `The sandbox uses more memory than ${spec.memoryGiB} GiB`, error);
    }
  }

  /** For the sandbox's own measurements; the limits hold whether or not its toolbox hears of them. */
  async #showLimits(spec: SandboxSpec): Promise<void> {
    const { memoryBytes } = limitsOf(spec);
    const limits = { cpus: spec.cpu, memoryBytes, diskBytes: Math.round(spec.diskGiB * GIB) };
    await this.#parts.launcher.tell(spec.id, { limits }).catch((error: unknown) => {
      this.#parts.log.warn({ id: spec.id, err: error }, 'a toolbox did not take the new limits');
    });
  }

  #watch(entry: Entry, init: WatchedProcess): void {
    void init.ended.then((status) => this.#lanes.run(entry.record.spec.id, 'exited', async () => {
      // Ended by an operation of ours, or deleted and made anew meanwhile.
      if (entry.process !== init || entry.record.phase !== 'started') return;
      await this.#exited(entry, status);
    })).catch((error: unknown) => this.#parts.log.error({ id: entry.record.spec.id, err: error }, 'cleaning up after an exit failed'));
  }

  async #exited(entry: Entry, status: number | null): Promise<void> {
    const { spec } = entry.record;
    const outOfMemory = this.#parts.cgroups.oomKills(spec.id) > 0 && status !== null && (status & 0x7f) === constants.signals.SIGKILL;
    const reason = outOfMemory
      ? `Out of memory: the sandbox used more than its ${spec.memoryGiB} GiB and the kernel ended it`
      : `The sandbox's first process ended (${describeStatus(status) ?? 'status unknown'})`;
    await this.#halt(entry, reason);
    this.#parts.log.info({ op: 'exit', id: spec.id, reason }, 'sandbox exited');
    if (!isInternal(spec.id)) this.#parts.publish({ type: 'sandbox.exited', id: spec.id, reason });
  }

  /** Ends what runs; disk and record stay. */
  async #halt(entry: Entry, reason: string | undefined): Promise<void> {
    await this.#tearDown(entry);
    await this.#save(entry, 'stopped', reason, null);
  }

  /** Leaves nothing. The record goes last: as long as anything exists, something names it. */
  async #erase(entry: Entry): Promise<void> {
    const { id, image } = entry.record.spec;
    await this.#tearDown(entry);
    await this.#parts.disks.destroy(id);
    await this.#parts.records.remove(id);
    this.#entries.delete(id);
    if (this.#parts.images.get(image) === null) void this.#parts.images.collect();
  }

  async #tearDown(entry: Entry): Promise<void> {
    const init = entry.process;
    try {
      await teardown(this.#parts, { id: entry.record.spec.id, process: init, slot: entry.record.run?.slot ?? null });
      entry.process = null;
    } catch (error) {
      await this.#save(entry, 'broken', (error as Error).message, entry.record.run);
      throw error;
    }
  }

  async #save(entry: Entry, phase: Phase, reason: string | undefined, run: SandboxRecord['run']): Promise<void> {
    entry.record = { version: 1, spec: entry.record.spec, phase, run, ...(reason === undefined ? {} : { reason }) };
    await this.#parts.records.write(entry.record);
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new RunnerError('SANDBOX_NOT_FOUND', `There is no sandbox ${id} on this runner`);
    return entry;
  }
}

function shown({ record }: Entry): RunnerSandbox {
  return { id: record.spec.id, state: SHOWN_AS[record.phase], ...(record.reason === undefined ? {} : { reason: record.reason }) };
}

function requireSameImage(spec: SandboxSpec, next: SandboxSpec): void {
  // The image of a sandbox whose record was lost is not known; the caller's word is all there is.
  if (spec.image !== '' && spec.image !== next.image) throw new RunnerError('INVALID_SPEC', `The sandbox was made from the image "${spec.image}" and cannot change to "${next.image}"`);
}

function changed(before: unknown, after: unknown): boolean {
  return JSON.stringify(before) !== JSON.stringify(after);
}

async function endedWithin(init: WatchedProcess, ms: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([init.ended, sleep(ms, undefined, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
}
