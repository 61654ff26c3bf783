import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { homeDir } from '../environment/places.ts';
import type { ContextInfo } from '../interpreter/context.ts';
import type { PtyInfo } from '../pty/session.ts';
import { killTree } from './process-tree.ts';
import { type ContextNote, type Note, OWNER_FILE, type PtyNote, SCRATCH_PREFIX, SCRATCH_ROOT, writeNote } from './scratch.ts';

/**
 * What a toolbox that died left behind. The pipes of its commands, the terminals of its programs and its interpreters died with it, so
 * their processes are ended, and their sessions and contexts answer that they have ended instead of seeming never to have been, until
 * somebody deletes them or takes their ids again.
 */
const endedSessions = new Set<string>();
const endedPtys = new Map<string, PtyInfo>();
const endedContexts = new Map<string, ContextInfo>();

/** The file that notes the entrypoint, which is taken over and not ended. */
export const ENTRYPOINT_NOTE = 'entrypoint.json';

/** The file that hands what has ended on to the toolbox that comes after this one. */
const ENDED_NOTE = 'ended.json';

interface EndedNote {
  readonly sessions: readonly string[];
  readonly ptys: readonly PtyInfo[];
  readonly contexts: readonly ContextInfo[];
}

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
  const read: string[] = [];
  for (const dir of abandoned()) {
    for (const name of readdirSync(dir)) {
      if (!name.endsWith('.json')) continue;
      if (name === ENTRYPOINT_NOTE) {
        entrypoint = dir;
        continue;
      }
      try {
        end(JSON.parse(readFileSync(join(dir, name), 'utf8')) as Note | PtyNote | ContextNote | EndedNote);
      } catch {
        // Cut short by the kill: the shell had not been announced to anybody.
      }
    }
    if (dir === entrypoint) continue;
    // One of a toolbox with this one's number lies where this one's will.
    if (dir.endsWith(`${SCRATCH_PREFIX}${process.pid}`)) rmSync(dir, { recursive: true, force: true });
    else read.push(dir);
  }
  if (endedSessions.size + endedPtys.size + endedContexts.size > 0) handOn();
  // Behind the note that hands on: a kill between them loses nothing.
  for (const dir of read) rmSync(dir, { recursive: true, force: true });
  return entrypoint;
}

function end(note: Note | PtyNote | ContextNote | EndedNote): void {
  if ('sessions' in note) {
    for (const id of note.sessions) endedSessions.add(id);
    for (const info of note.ptys) endedPtys.set(info.id, info);
    for (const info of note.contexts) endedContexts.set(info.id, info);
    return;
  }
  if ('pty' in note) endedPtys.set(note.pty.id, { ...note.pty, active: false });
  else if ('context' in note) endedContexts.set(note.context.id, { ...note.context, active: false });
  else endedSessions.add(note.sessionId);
  if (note.pid !== null) void killTree(note.pid, note.startTicks);
}

function handOn(): void {
  try {
    writeNote(ENDED_NOTE, { sessions: [...endedSessions], ptys: [...endedPtys.values()], contexts: [...endedContexts.values()] } satisfies EndedNote);
  } catch (error) {
    console.error(JSON.stringify({ level: 'warn', message: 'what has ended could not be noted for a later toolbox', reason: (error as Error).message }));
  }
}

/** Directory of an entrypoint that an earlier toolbox started. */
export const leftEntrypoint: string | null = collect();

export const endedByRestart = (sessionId: string): boolean => endedSessions.has(sessionId);
export const forgetEnded = (sessionId: string): boolean => forget(endedSessions, sessionId);

export const ptysEndedByRestart = (): readonly PtyInfo[] => [...endedPtys.values()];
export const ptyEndedByRestart = (id: string): boolean => endedPtys.has(id);
export const forgetEndedPty = (id: string): boolean => forget(endedPtys, id);

export const contextsEndedByRestart = (): readonly ContextInfo[] => [...endedContexts.values()];
export const contextEndedByRestart = (id: string): boolean => endedContexts.has(id);
export const forgetEndedContext = (id: string): boolean => forget(endedContexts, id);

function forget(ended: Pick<Set<string>, 'delete'>, id: string): boolean {
  if (!ended.delete(id)) return false;
  handOn();
  return true;
}
