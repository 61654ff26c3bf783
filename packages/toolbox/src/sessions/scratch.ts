import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { homeDir } from '../environment/places.ts';
import type { ContextInfo } from '../interpreter/context.ts';
import type { PtyInfo } from '../pty/session.ts';

/**
 * The private directory of this process: command texts on their way to a shell, and a note about each process that a later toolbox
 * must know of should this one die. On tmpfs: gone when the sandbox stops, as the processes are.
 */
export const SCRATCH_ROOT = existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
export const SCRATCH_PREFIX = '.paddock-sessions-';
const DIR = join(SCRATCH_ROOT, `${SCRATCH_PREFIX}${process.pid}`);

/** Home of the toolbox that made a directory: toolboxes of different homes leave each other's alone. */
export const OWNER_FILE = 'home';

/** A process that a later toolbox has to end, or in case of the entrypoint to go on with. */
export interface Note {
  readonly sessionId: string;
  readonly pid: number;
  /** Start time of the process in clock ticks: a number used again by another process is told by it. */
  readonly startTicks: string;
}

/** A terminal session that a later toolbox has to end and to tell of. */
export interface PtyNote {
  readonly pty: PtyInfo;
  /** The terminal's program; null while the session waits for its first client. */
  readonly pid: number | null;
  readonly startTicks: string;
}

/** An interpreter context that a later toolbox has to tell of; its interpreter ends by itself, what that has started does not. */
export interface ContextNote {
  readonly context: ContextInfo;
  /** Its interpreter; null before the first one. */
  readonly pid: number | null;
  readonly startTicks: string;
}

/** Whether any toolbox has made such a directory here. */
export function leftBehind(): boolean {
  return existsSync(SCRATCH_ROOT) && readdirSync(SCRATCH_ROOT).some((name) => name.startsWith(SCRATCH_PREFIX));
}

let made = false;

/** Path of a file in the directory, which is made when it is not there (any more). */
export function scratchPath(name: string): string {
  if (!made || !existsSync(DIR)) {
    mkdirSync(DIR, { recursive: true, mode: 0o700 });
    chmodSync(DIR, 0o700);
    writeFileSync(join(DIR, OWNER_FILE), homeDir);
    made = true;
  }
  return join(DIR, name);
}

/** Writes a note in the directory; a kill leaves the one before it or this one, whole. Throws errors of the file system. */
export function writeNote(name: string, note: object): void {
  const path = scratchPath(name);
  writeFileSync(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
