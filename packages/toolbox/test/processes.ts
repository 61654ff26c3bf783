/** Test rig: what a user of the tests' own has running. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { eventually, type Toolbox } from './toolbox.ts';

/** A user that no other test file of this machine runs anything as. */
export const unusedUid = (): number => 30_000 + (process.pid % 30_000);

/** Pids of all processes of a user that have not ended. */
export const processesOf = (uid: number): number[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOf(uid, name)).map(Number);

/** Besides the toolbox at most so many processes of its user are left, soon. */
export async function leavesOnly(toolbox: Toolbox, uid: number, others: number): Promise<void> {
  const left = (): number[] => processesOf(uid).filter((pid) => pid !== toolbox.child.pid);
  await eventually(() => left().length <= others, 10_000)
    .catch(() => expect(left().map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))).toHaveLength(others));
}

function isOf(uid: number, pid: string): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return !/^State:\tZ/m.test(status) && Number(/^Uid:\t(\d+)/m.exec(status)![1]) === uid;
  } catch {
    return false; // it has ended meanwhile
  }
}
