import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import type { ServerChannel } from './library.ts';

/** How long programs may take to end after SIGHUP. */
const GRACE_MS = 2_000;

/** Tells the client how its program ended. Signals that SSH has no name for are told as a shell does: 128 plus the number. */
export function exitOf(channel: ServerChannel, code: number | null, signal: NodeJS.Signals | null): void {
  try {
    if (signal === null) channel.exit(code ?? 0);
    else channel.exit(signal.replace(/^SIG/, ''), false, '');
  } catch {
    channel.exit(128 + os.constants.signals[signal!]);
  }
}

export function signalGroup(group: number, signal: number | NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // Nobody is left in it, or all belong to another user.
  }
}

/**
 * SIGHUP for process groups, and SIGKILL for what is left of them 2 s later. Left alone is what was detached: by a session or a group of
 * its own (setsid, tmux, disowned jobs of an interactive shell), or by ignoring SIGHUP (nohup).
 */
export function hangUpGroups(groups: readonly number[]): void {
  for (const group of groups) {
    signalGroup(group, 'SIGHUP');
    // A stopped process takes its signal when it goes on.
    signalGroup(group, 'SIGCONT');
  }
  setTimeout(() => {
    for (const pid of membersOf(groups)) {
      try {
        if (!ignoresHangUp(pid)) process.kill(pid, 'SIGKILL');
      } catch {
        // It ended meanwhile, or belongs to another user.
      }
    }
  }, GRACE_MS).unref();
}

/** The group that a terminal's input goes to, or null when there is none. @param leader the process the terminal belongs to */
export function foregroundOf(leader: number): number | null {
  const group = Number(statOf(String(leader))?.[5] ?? -1);
  return group > 0 ? group : null;
}

function membersOf(groups: readonly number[]): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && groups.includes(Number(statOf(name)?.[2] ?? 0))).map(Number);
}

/** Fields of /proc/pid/stat behind the name: state, parent, group, session, terminal, the terminal's foreground group, ... */
function statOf(pid: string): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything, parentheses and blanks included.
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

function ignoresHangUp(pid: number): boolean {
  const ignored = /^SigIgn:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0';
  // Bit 0 is signal 1.
  return (BigInt(`0x${ignored}`) & 1n) === 1n;
}
