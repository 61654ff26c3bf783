import type { RunnerVolume } from '@paddock/contract';
import type { BlobPage } from '@paddock/store';
import type { Logger } from 'pino';
import type { Database } from '../db/index.ts';
import type { Announcer } from '../events/index.ts';
import { StatusError } from '../http/index.ts';
import type { ObjectStore } from '../object-storage/index.ts';
import type { RunnerClient, RunnerFailure, RunnerResult } from '../runners/index.ts';
import type { Trigger } from './states.ts';
import { knownVolumes, pendingVolumes, readyVolumes, sandboxesWith, volumeById, type VolumeRow } from './store.ts';
import { moved } from './volumes.ts';

/**
 * Rows whose work is not done are looked for this often. Whoever commits one drives it himself: this finds what a killed
 * process left behind, and volumes that wait for a runner.
 */
const SWEEP_MS = 10_000;

/** Removals that wait for the store together. */
const REMOVED_AT_ONCE = 100;

/** The runner may be deleting a large volume. */
const LOCK_TIMEOUT_MS = 120_000;

export interface KeeperDeps {
  readonly db: Database;
  readonly announcer: Announcer;
  readonly runner: RunnerClient;
  readonly objects: ObjectStore;
  readonly log: Logger;
}

/** Makes and removes what rows of volumes want on the runner. Every step names the wanted end, so it may be killed anywhere. */
export class VolumeKeeper {
  readonly #deps: KeeperDeps;
  readonly #driving = new Set<Promise<unknown>>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), SWEEP_MS).unref();
    this.wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await Promise.all(this.#driving);
  }

  /** Some row may have work that can be done: a sandbox with a volume is gone, or time has passed. Returns at once. */
  wake(): void {
    this.#run(async () => {
      for (const { id } of await this.#deps.db.query(pendingVolumes)) await this.drive(id);
    });
  }

  /** The runner is there again: compares what it has with the rows. Returns at once. */
  compare(): void {
    this.#run(async () => {
      await this.#compare();
      for (const { id } of await this.#deps.db.query(pendingVolumes)) await this.drive(id);
    });
  }

  /** Does what the row wants. Never fails: what could not be done is found by the next sweep. */
  async drive(id: string): Promise<void> {
    if (this.#stopped) return;
    try {
      await this.#exclusive(id, async () => {
        for (;;) {
          const row = await this.#deps.db.one(volumeById(id));
          const step = row && (await this.#step(row));
          if (!row || !step) return;
          await this.#move(row, step.trigger, step.reason);
        }
      });
    } catch (error) {
      this.#deps.log.warn({ volumeId: id, err: error }, 'a volume could not be brought to its wanted state');
    }
  }

  /** @returns null: nothing to do, or not yet */
  async #step(row: VolumeRow): Promise<{ readonly trigger: Trigger; readonly reason: string | null } | null> {
    const { db, runner } = this.#deps;
    switch (row.state) {
      case 'pending_create':
      case 'creating': {
        const made = await this.#put(row);
        if (made.ok) return { trigger: 'created', reason: null };
        return isTransient(made.failure) ? null : { trigger: 'failed', reason: made.failure.message };
      }
      case 'pending_delete':
        // Sandboxes that are being deleted may still write to it.
        return (await db.query(sandboxesWith(row.id, true))).length > 0 ? null : { trigger: 'unused', reason: null };
      case 'deleting':
        if (!(await runner.removeVolume(row.id)).ok) return null;
        if (row.driver === 's3') await this.#removeObjects(row.id);
        return { trigger: 'removed', reason: null };
      default:
        return null;
    }
  }

  async #put({ id, driver }: VolumeRow): Promise<RunnerResult<RunnerVolume>> {
    const { objects, runner } = this.#deps;
    if (driver === 'local') return runner.putVolume(id, driver, null);
    try {
      const scope = { prefix: prefixOf(id), actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: null } as const;
      return await runner.putVolume(id, driver, await objects.accessFor(scope, 'runner'));
    } catch (error) {
      // This store cannot give such access away, and the sentence says why.
      if (error instanceof StatusError) return { ok: false, failure: { code: 'INTERNAL', message: error.message } };
      throw error;
    }
  }

  async #removeObjects(id: string): Promise<void> {
    const blobs = this.#deps.objects.blobs();
    for (let after: string | null = ''; after !== null;) {
      const page: BlobPage = await blobs.list(prefixOf(id), { limit: REMOVED_AT_ONCE, ...(after === '' ? {} : { after }) });
      await Promise.all(page.blobs.map(({ key }) => blobs.remove(key)));
      after = page.next;
    }
  }

  async #compare(): Promise<void> {
    const { db, runner, log } = this.#deps;
    // The runner first: a row is written before its volume is made, so what has no row afterwards really has none.
    const listed = await runner.volumes();
    if (!listed.ok) return;
    const ids = listed.value.map(({ id }) => id);
    const known = new Map((await db.query(knownVolumes(ids))).map(({ id, deleted }) => [id, deleted]));
    for (const id of ids) {
      if (known.get(id)) await runner.removeVolume(id);
      // None is ever made without a row: this database is not the one that its owner wrote to. Work is kept until somebody decides.
      else if (!known.has(id)) log.warn({ volumeId: id }, 'the runner has a volume that this database does not know; it is kept');
    }
    const there = new Set(ids);
    for (const { id } of await db.query(readyVolumes)) if (!there.has(id)) await this.#restoreOrReport(id);
  }

  /** Looked at again under the lock: the list may be older than the volume. */
  async #restoreOrReport(id: string): Promise<void> {
    const { db, runner, log } = this.#deps;
    await this.#exclusive(id, async () => {
      const row = await db.one(volumeById(id));
      const listed = await runner.volumes();
      if (row?.state !== 'ready' || !listed.ok || listed.value.some((volume) => volume.id === id)) return;
      // The data is elsewhere; the runner only has to be told how to reach it.
      if (row.driver === 's3') return void (await this.#put(row));
      log.error({ volumeId: id }, 'the data of a volume is no longer on its runner');
      await this.#move(row, 'lost', 'The data of the volume no longer exists on its runner');
    });
  }

  async #move(row: VolumeRow, trigger: Trigger, reason: string | null): Promise<void> {
    const { db, announcer } = this.#deps;
    announcer.publish([await db.tx((tx) => moved(announcer, tx, row, trigger, reason))]);
  }

  #exclusive(id: string, work: () => Promise<void>): Promise<void> {
    return this.#deps.db.withLock(`volume:${id}`, work, { timeoutMs: LOCK_TIMEOUT_MS });
  }

  #run(work: () => Promise<void>): void {
    if (this.#stopped) return;
    const running = work()
      .catch((error: unknown) => this.#deps.log.warn({ err: error }, 'volumes could not be looked after'))
      .finally(() => this.#driving.delete(running));
    this.#driving.add(running);
  }
}

function prefixOf(id: string): string {
  return `volumes/${id}/`;
}

function isTransient({ code }: RunnerFailure): boolean {
  return code === 'UNAVAILABLE' || code === 'TIMEOUT';
}
