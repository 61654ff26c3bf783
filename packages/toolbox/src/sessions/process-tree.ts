import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { errnoOf } from '../errors.ts';

/** Ends all processes of a session. */

/** Wire: SIGTERM first, SIGKILL 5 s later; clients wait some 6 s for a deletion. */
const GRACE_MS = 5_000;
/** After SIGKILL only a process stuck in the kernel remains. */
const KILL_MS = 500;
const FIRST_LOOK_MS = 2;
const LONGEST_LOOK_MS = 50;

export interface Stat {
  readonly pid: number;
  readonly state: string;
  readonly parent: number;
  readonly session: number;
  readonly startTicks: string;
}

export function statOf(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything, parentheses and blanks included.
    const [state, parent, , session, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { pid, state: state!, parent: Number(parent), session: Number(session), startTicks: rest[15]! };
  } catch {
    return null;
  }
}

/** The process that is meant, and not another one that has got its number since. */
export function isAlive(pid: number, startTicks: string): boolean {
  const stat = statOf(pid);
  return stat !== null && stat.startTicks === startTicks && stat.state !== 'Z';
}

/**
 * Ends the process, its descendants, and whatever runs in its kernel session although its parent is gone. A process that left both, as a
 * daemon does, was meant to outlive it and is left alone.
 * @param leader a process that leads its kernel session
 */
export async function killTree(leader: number, startTicks: string): Promise<void> {
  const startMs = performance.now();
  const own = new Set([leader]);
  const asked = new Set<number>();
  let force: boolean = false;
  for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_LOOK_MS)) {
    const members = membersOf(leader, startTicks, own);
    if (members.length === 0) return;
    const elapsedMs = performance.now() - startMs;
    if (elapsedMs > GRACE_MS + KILL_MS) return;
    const denied: number[] = [];
    const becameForced: boolean = !force && elapsedMs > GRACE_MS;
    force = force || becameForced;
    for (const { pid } of members) {
      if (!force && asked.has(pid)) continue;
      asked.add(pid);
      if (!signal(pid, force ? 'SIGKILL' : 'SIGTERM')) denied.push(pid);
    }
    if (denied.length > 0 && (!force || becameForced)) signalAsRoot(denied, force ? 'KILL' : 'TERM');
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** @param own pids and kernel sessions known to belong to it; grows, so that children whose parent ends meanwhile stay known */
function membersOf(leader: number, startTicks: string, own: Set<number>): readonly Stat[] {
  const first = statOf(leader);
  // While any of its processes lives, the kernel gives the leader's number to no other.
  if (first !== null && first.startTicks !== startTicks) return [];
  const all = readdirSync('/proc').filter((name) => name >= '1' && name <= '9~').map((name) => statOf(Number(name))).filter((stat) => stat !== null && stat.pid !== process.pid) as Stat[];
  const mine = statOf(process.pid)?.session;
  for (let grown = true; grown;) {
    grown = false;
    for (const stat of all) {
      if (own.has(stat.pid) || !(own.has(stat.parent) || (stat.session !== mine && own.has(stat.session)))) continue;
      own.add(stat.pid);
      grown = true;
    }
  }
  return all.filter((stat) => own.has(stat.pid) && stat.state !== 'Z' && stat.state !== 'X');
}

/** @returns false when it belongs to another user */
function signal(pid: number, name: 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    process.kill(pid, name);
    // A stopped process takes its signal when it goes on.
    if (name === 'SIGTERM') process.kill(pid, 'SIGCONT');
    return true;
  } catch (error) {
    return errnoOf(error) !== 'EPERM';
  }
}

/** What a command started through sudo belongs to root; where the user may use sudo without a password, so may this. */
function signalAsRoot(pids: readonly number[], name: string): void {
  execFile('sudo', ['-n', 'kill', `-${name}`, ...pids.map(String)], () => undefined);
}
