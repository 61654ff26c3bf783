import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { homeDir } from '../environment/places.ts';
import { killTree } from './process-tree.ts';
import { type Note, OWNER_FILE, SCRATCH_PREFIX, SCRATCH_ROOT } from './scratch.ts';

/**
 * What a toolbox that died left behind. The pipes of its commands died with it, so their processes are ended, and their sessions
 * answer that they have ended instead of seeming never to have been.
 */
const endedSessions = new Set<string>();

/** The file that notes the entrypoint, which is taken over and not ended. */
export const ENTRYPOINT_NOTE = 'entrypoint.json';

/** Directories of toolboxes of this user and home that are gone. */
function abandoned(): readonly string[] {
  return readdirSync(SCRATCH_ROOT).filter((name) => name.startsWith(SCRATCH_PREFIX)).filter((name) => {
    const pid = name.slice(SCRATCH_PREFIX.length);
    try {
      if (pid !== String(process.pid) && statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined) return false;
      const dir = join(SCRATCH_ROOT, name);
      return statSync(dir).uid === process.getuid!() && readFileSync(join(dir, OWNER_FILE), 'utf8') === homeDir;
    } catch {
      return false;
    }
  }).map((name) => join(SCRATCH_ROOT, name));
}

/** Called once, before this toolbox makes a directory of its own. @returns where an entrypoint waits to be taken over */
function collect(): string | null {
  let entrypoint: string | null = null;
  for (const dir of abandoned()) {
    for (const name of readdirSync(dir)) {
      if (!name.endsWith('.json')) continue;
      if (name === ENTRYPOINT_NOTE) {
        entrypoint = dir;
        continue;
      }
      try {
        const note = JSON.parse(readFileSync(join(dir, name), 'utf8')) as Note;
        endedSessions.add(note.sessionId);
        void killTree(note.pid, note.startTicks);
      } catch {
        // Cut short by the kill: the shell had not been announced to anybody.
      }
    }
    if (dir !== entrypoint) rmSync(dir, { recursive: true, force: true });
  }
  return entrypoint;
}

/** Directory of an entrypoint that an earlier toolbox started. */
export const leftEntrypoint: string | null = collect();

export const endedByRestart = (sessionId: string): boolean => endedSessions.has(sessionId);
export const forgetEnded = (sessionId: string): boolean => endedSessions.delete(sessionId);
