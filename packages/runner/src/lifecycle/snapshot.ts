/** One moment of a sandbox's disk, kept as a template disk. */
import { syncFileSystemOf } from '../sys/index.ts';
import type { Parts } from './parts.ts';

export interface Moment {
  /** How long its processes stood still; 0 for a sandbox that does not run. */
  readonly frozenMs: number;
}

/**
 * Of a running sandbox: writes back what its processes have written so far while they run on, stops them for the little that came
 * since, and lets them go on in every case. A runner that is killed in between leaves them stopped; `recover` lets go of everything it adopts.
 */
export async function takeMoment(parts: Parts, id: string, template: string, running: boolean): Promise<Moment> {
  if (!running) {
    await parts.disks.snapshot(id, template);
    return { frozenMs: 0 };
  }
  await writeBack(parts.disks.recordsDir);
  const since = performance.now();
  let stood = false;
  try {
    stood = await parts.cgroups.freeze(id);
    await parts.disks.snapshot(id, template);
  } finally {
    parts.cgroups.thaw(id);
  }
  const frozenMs = Math.round((performance.now() - since) * 10) / 10;
  if (!stood) parts.log.info({ id, template }, 'a process was in the kernel while the snapshot was taken');
  return { frozenMs };
}

/**
 * Writing the most that may wait for the device takes some hundred milliseconds, what a busy sandbox dirties in that time a part of it, and
 * so on: two rounds leave little, and a sandbox that writes faster than the disk never leaves less.
 */
const ROUNDS = 2;

/** After a round as short as this nothing has gathered that another would take from the time the sandbox stands still. */
const SHORT_MS = 50;

async function writeBack(dirOnPool: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const since = performance.now();
    await syncFileSystemOf(dirOnPool);
    if (performance.now() - since < SHORT_MS) return;
  }
}
