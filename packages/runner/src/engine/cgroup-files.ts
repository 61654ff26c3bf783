/** File-level helpers shared by the cgroup versions. */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENODEV';
}

/** Contents of a control file; empty when the group is gone. */
export function readControl(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}

export function subgroups(group: string): string[] {
  try {
    return readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Pids of the group and all groups below it. */
export function pidsBelow(group: string): number[] {
  const own = readControl(join(group, 'cgroup.procs')).split('\n').filter(Boolean).map(Number);
  return [...own, ...subgroups(group).flatMap((name) => pidsBelow(join(group, name)))];
}

/** Removes a group and those below it. @returns false when a process still keeps one of them */
export function removeGroup(group: string): boolean {
  for (const name of subgroups(group)) if (!removeGroup(join(group, name))) return false;
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    if (isMissing(error)) return true;
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

/** The value of `key` in a flat-keyed file such as memory.events. */
export function flatKey(text: string, key: string): number {
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' ');
    if (name === key) return Number(value);
  }
  return 0;
}

/** Five seconds in all: a killed process that is not gone by then hangs in the kernel, and nothing here would free it. */
const KILL_ROUNDS = 100;

/**
 * SIGKILL to the listed processes, again and again until the list is empty: a process may have forked between reading
 * the list and the kill. Rounds are apart by a little more each time.
 */
export async function killUntilEmpty(pids: () => number[]): Promise<void> {
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const left = pids();
    if (left.length === 0) return;
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    await sleep(Math.min(1 + round, 100));
  }
}
