/**
 * First act of a runner: compare what is written down with what exists, keep what runs, finish or undo what an earlier
 * runner was in the middle of, and remove what nothing names.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '@paddock/contract';
import { limitsOf } from '../engine/launcher.ts';
import { startTime } from '../engine/runtime.ts';
import type { WatchedProcess } from '../engine/exit-watch.ts';
import { Gate } from './lanes.ts';
import type { Parts } from './parts.ts';
import { AT_START } from './phases.ts';
import type { SandboxRecord } from './records.ts';
import type { Entry, Sandboxes } from './sandboxes.ts';
import { teardown } from './teardown.ts';

export interface Recovered {
  readonly adopted: number;
  readonly halted: number;
  readonly erased: number;
  readonly orphans: number;
}

/** Removals at a time: enough to overlap the waits, few enough to leave the machine to the sandboxes that run. */
const AT_ONCE = 8;

export async function recover(parts: Parts, layout: Layout, sandboxes: Sandboxes): Promise<Recovered> {
  const strays = parts.runtime.killStrays();
  if (strays > 0) parts.log.warn({ strays }, 'ended runtime processes of an earlier runner');
  const { records, lost } = await parts.records.readAll();
  const gate = new Gate(AT_ONCE);
  const counts = { adopted: 0, halted: 0, erased: 0, orphans: 0 };

  const alive: Array<{ record: SandboxRecord; process: WatchedProcess }> = [];
  const rest: SandboxRecord[] = [];
  for (const record of records) {
    const process = AT_START[record.phase] === 'adopt' ? runningInit(parts, record) : null;
    if (process === null) rest.push(record);
    else alive.push({ record, process });
  }

  // Everything that is not adopted loses its processes first: they hold network slots that `adopt` frees.
  await Promise.all(rest.map((record) => gate.run(async () => {
    const { id } = record.spec;
    const what = AT_START[record.phase];
    if (what === 'keep') return sandboxes.restore({ record: { ...record, run: null }, process: null });
    try {
      await teardown(parts, { id, process: null, slot: null });
      if (what === 'erase') {
        await parts.disks.destroy(id);
        await parts.records.remove(id);
        counts.erased++;
        return;
      }
      const stopped = { ...record, phase: 'stopped' as const, run: null, reason: reasonOf(record) };
      await parts.records.write(stopped);
      sandboxes.restore({ record: stopped, process: null });
      counts.halted++;
    } catch (error) {
      parts.log.error({ id, err: error }, 'a sandbox of an earlier runner cannot be cleaned up');
      sandboxes.restore({ record: { ...record, phase: 'broken', reason: (error as Error).message }, process: null });
    }
  })));

  const named = new Set([...records.map((record) => record.spec.id), ...lost.map(({ id }) => id)]);
  const orphans = (await unnamed(parts, layout)).filter((id) => !named.has(id));
  await Promise.all(orphans.map((id) => gate.run(async () => {
    try {
      await teardown(parts, { id, process: null, slot: null });
      await parts.disks.destroy(id);
      counts.orphans++;
    } catch (error) {
      parts.log.error({ id, err: error }, 'an orphan cannot be removed');
    }
  })));

  await parts.network.adopt(new Set(alive.map(({ record }) => record.run!.slot)));
  await Promise.all(alive.map((entry) => gate.run(async () => {
    // An earlier runner may have been killed while it took a snapshot.
    parts.cgroups.thaw(entry.record.spec.id);
    await reapply(parts, entry);
    sandboxes.restore(entry);
    counts.adopted++;
  })));
  for (const { id, error } of lost) sandboxes.restore(lostEntry(id, error));
  return counts;
}

/** The init that the record names, if it is still that very process and still in the sandbox's group. */
function runningInit(parts: Parts, { spec, run }: SandboxRecord): WatchedProcess | null {
  if (run === null || !parts.cgroups.pids(spec.id).includes(run.pid)) return null;
  const process = parts.exits.watch(run.pid);
  // Read after the watch holds the process: a pid that was reused in between shows another start time.
  return startTime(run.pid) === run.startTime ? process : null;
}

/** Limits and policy as recorded: a PATCH may have been cut short. */
async function reapply(parts: Parts, { record }: Entry): Promise<void> {
  const { spec, run } = record;
  try {
    await parts.network.apply(run!.slot, spec.network);
    parts.cgroups.update(spec.id, limitsOf(spec));
  } catch (error) {
    parts.log.error({ id: spec.id, err: error }, 'limits of an adopted sandbox were not applied again');
  }
}

function reasonOf(record: SandboxRecord): string | undefined {
  switch (record.phase) {
    case 'starting': return 'The runner was restarted while the sandbox started';
    case 'started': return 'The sandbox ended while the runner was away';
    default: return record.reason;
  }
}

/** Ids of everything that exists, wherever it may be left over. */
async function unnamed(parts: Parts, layout: Layout): Promise<string[]> {
  return [...new Set([...parts.cgroups.list(), ...parts.runtime.list(), ...runDirs(layout), ...(await parts.disks.list())])];
}

function runDirs(layout: Layout): string[] {
  try {
    return readdirSync(join(layout.runDir, 'sandboxes'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A sandbox of which only the id is known. PUT brings a whole spec and so revives it; DELETE removes it. */
function lostEntry(id: string, error: string): Entry {
  return {
    record: {
      version: 1, phase: 'broken', run: null, reason: `The runner's record of this sandbox cannot be read (${error})`,
      spec: {
        id, image: '', user: null, env: {}, cpu: 1, memoryGiB: 1, diskGiB: 0, network: { blockAll: true, allowList: null }, volumes: [], entrypoint: null, token: '',
      },
    },
    process: null,
  };
}
