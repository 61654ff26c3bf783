/** File-level helpers shared by the cgroup versions. */
import { chownSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { basename, join } from 'node:path';

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENODEV' || code === 'ESRCH';
}

/** Contents of a control file; empty when the group is gone. */
export function readControl(path: string | Buffer): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}

export function subgroups(group: string): string[] {
  return rawSubgroups(Buffer.from(group)).map((path) => basename(path.toString()));
}

/** Paths as bytes: a sandbox gives its groups names that need be no text. */
function rawSubgroups(group: Buffer): Buffer[] {
  try {
    const entries = readdirSync(group, { withFileTypes: true, encoding: 'buffer' });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => inside(group, name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

const inside = (group: Buffer, name: Uint8Array): Buffer => Buffer.concat([group, Buffer.from('/'), name]);

/** Pids of the group and all groups below it. */
export function pidsBelow(group: string): number[] {
  const below = (path: Buffer): number[] => {
    const own = readControl(inside(path, Buffer.from('cgroup.procs'))).split('\n').filter(Boolean).map(Number);
    return [...own, ...rawSubgroups(path).flatMap(below)];
  };
  return below(Buffer.from(group));
}

/** Removes a group and those below it. @returns false when a process still keeps one of them */
export function removeGroup(group: string): boolean {
  const remove = (path: Buffer): boolean => {
    for (const one of rawSubgroups(path)) if (!remove(one)) return false;
    try {
      rmdirSync(path);
      return true;
    } catch (error) {
      if (isMissing(error)) return true;
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
      throw error;
    }
  };
  return remove(Buffer.from(group));
}

/** Groups that a sandbox may make below its own: more than a hundred containers need, few enough for the host to bear from every sandbox. */
const NESTED_GROUPS = 1_000;

/** And how deep: Kubernetes nests four. With names of 255 bytes a path stays below the kernel's limit of 4,096, so that all can be removed. */
const NESTED_DEPTH = 10;

/** What the kernel's documentation has a delegate own: the limits of the group itself stay the host's. */
const DELEGATED = ['.', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control'] as const;

/** Lets a user make groups below a group of version 2 and move its processes between them. One that is gone is left alone. */
export function delegateGroup(group: string, id: number): void {
  try {
    writeFileSync(join(group, 'cgroup.max.descendants'), String(NESTED_GROUPS));
    writeFileSync(join(group, 'cgroup.max.depth'), String(NESTED_DEPTH));
    for (const name of DELEGATED) chownSync(join(group, name), id, id);
  } catch (error) {
    if (!isMissing(error)) throw error;
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

/** Writes a control file of a group that may be gone. */
export function writeControl(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Looks every millisecond. @returns whether it came true in time */
export async function within(ms: number, isTrue: () => boolean): Promise<boolean> {
  for (const until = performance.now() + ms; !isTrue(); await sleep(1)) if (performance.now() > until) return false;
  return true;
}

/** Twenty seconds in all, pauses included: a process that is not gone by then hangs in the kernel. */
const KILL_ROUNDS = 220;
const KILL_PAUSE_MS = 100;

/**
 * SIGKILL to the listed processes until the list is empty. First to the first process of each pid namespace among them: its
 * death is the kernel's order to end all others there.
 */
export async function killUntilEmpty(pids: () => number[]): Promise<void> {
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const left = pids();
    if (left.length === 0) return;
    for (const pid of round === 0 ? [...left.filter(isNamespaceInit), ...left] : left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    await sleep(Math.min(1 + round, KILL_PAUSE_MS));
  }
  throw new Error(`Processes do not end after SIGKILL: ${pids().slice(0, 10).join(', ')}`);
}

/** True for pid 1 of a pid namespace below the host's. */
function isNamespaceInit(pid: number): boolean {
  const ids = /^NSpid:\s+(.*)$/m.exec(readControl(`/proc/${pid}/status`))?.[1]?.split('\t') ?? [];
  return ids.length > 1 && ids.at(-1) === '1';
}
