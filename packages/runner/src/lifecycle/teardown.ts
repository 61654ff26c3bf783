/** Removes everything a running sandbox has on the host except its disk and record. Idempotent, from any half-way state. */
import { setTimeout as sleep } from 'node:timers/promises';
import { constants } from 'node:os';
import type { WatchedProcess } from '../engine/exit-watch.ts';
import type { Parts } from './parts.ts';

/**
 * Two seconds in all. A group whose last process has just ended can stay busy for some microseconds; one that is still
 * busy after this holds a process the kernel cannot end.
 */
const REMOVE_TRIES = 40;
const REMOVE_PAUSE_MS = 50;

/** Ten seconds: a killed init is gone in milliseconds unless the kernel is stuck on its behalf (a dead FUSE server, say). */
const DEATH_TIMEOUT_MS = 10_000;

export interface Remains {
  readonly id: string;
  readonly process: WatchedProcess | null;
  readonly slot: number | null;
}

/** Throws when a process or a group cannot be removed. */
export async function teardown(parts: Parts, { id, process: init, slot }: Remains): Promise<void> {
  parts.cgroups.doom(id);
  if (init !== null && init.signal(constants.signals.SIGKILL)) await deathOf(init);
  // Whatever a start that was cut short put there; empty after the death of init, which is pid 1 of its namespace.
  await parts.cgroups.kill(id);
  await removeGroup(parts, id);
  await parts.runtime.forget(id);
  await parts.disks.unmount(id);
  parts.launcher.removeFiles(id);
  // Last, so that a second try never releases a slot that already belongs to another sandbox.
  if (slot !== null) await parts.network.release(slot);
}

async function deathOf(init: WatchedProcess): Promise<void> {
  const timer = new AbortController();
  const late = sleep(DEATH_TIMEOUT_MS, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
  const outcome = await Promise.race([init.ended, late]);
  timer.abort();
  if (outcome === 'late') throw new Error(`Process ${init.pid} does not end after SIGKILL`);
}

async function removeGroup(parts: Parts, id: string): Promise<void> {
  for (let tries = 1; !parts.cgroups.remove(id); tries++) {
    if (tries === REMOVE_TRIES) throw new Error(`The cgroup of ${id} stays busy`);
    await sleep(tries === 1 ? 1 : REMOVE_PAUSE_MS);
  }
}
