import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { type Stat, statOf } from '../sessions/process-tree.ts';

/** Rounds of looking and killing: a process that forks while it is looked at leaves a child for the next round. */
const ROUNDS = 5;

/** SIGKILL for a session's leader, every process of the session and every descendant of them. */
export function killTree(leader: number): void {
  const killed = new Set<number>();
  const denied: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const found = treeOf(leader, killed).filter((pid) => !killed.has(pid));
    if (found.length === 0) break;
    for (const pid of found) {
      killed.add(pid);
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if (errnoOf(error) === 'EPERM') denied.push(pid);
      }
    }
  }
  // What was started through sudo is root's; where the user may use sudo without a password, so may this.
  if (denied.length > 0) execFile('sudo', ['-n', 'kill', '-KILL', ...denied.map(String)], () => undefined);
}

/** @param killed also roots: their children may be there still */
function treeOf(leader: number, killed: ReadonlySet<number>): number[] {
  const tree = new Set<number>([leader, ...killed]);
  const rows = processes();
  for (const { pid, session } of rows) if (session === leader) tree.add(pid);
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of rows) {
      if (tree.has(parent) && !tree.has(pid)) {
        tree.add(pid);
        grown = true;
      }
    }
  }
  return [...tree];
}

function processes(): readonly Stat[] {
  return readdirSync('/proc').filter((name) => name >= '1' && name <= '9~').map((name) => statOf(Number(name))).filter((stat) => stat !== null);
}
