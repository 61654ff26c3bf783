import { readdirSync, readFileSync } from 'node:fs';

/** Rounds of looking and killing: a process that forks while it is looked at leaves a child for the next round. */
const ROUNDS = 5;

interface Row {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
}

/** SIGKILL for a session's leader, every process of the session and every descendant of them. */
export function killTree(leader: number): void {
  const killed = new Set<number>();
  for (let round = 0; round < ROUNDS; round++) {
    const found = treeOf(leader, killed).filter((pid) => !killed.has(pid));
    if (found.length === 0) return;
    for (const pid of found) {
      killed.add(pid);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself, or runs as another user.
      }
    }
  }
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

function processes(): Row[] {
  const rows: Row[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The program's name stands in parentheses and may hold blanks and parentheses itself.
      const [, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      rows.push({ pid, parent: Number(parent), session: Number(session) });
    } catch {
      // Ended between the listing and the look.
    }
  }
  return rows;
}
