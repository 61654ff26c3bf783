import { currentEnv } from '../environment/environment.ts';
import { badBody, badRequest, fail } from '../errors.ts';
import type { Command } from './command.ts';
import { ENTRYPOINT_ID, entrypoint } from './entrypoint.ts';
import { endedByRestart, forgetEnded } from './orphans.ts';
import { noCommand, Session, type SessionView } from './session.ts';

/** All sessions of this sandbox by their ids, which clients choose. */
const sessions = new Map<string, Session>();
/** Ids whose shells are starting. */
const starting = new Set<string>();

/** Longest id. They stand in paths of URLs, and nobody needs more. */
const MAX_ID_LENGTH = 255;

/** An id travels as one segment of a path, and must not look like another path anywhere. */
function checkId(id: string): void {
  if (id.length > MAX_ID_LENGTH) throw badBody(`field 'sessionId' is longer than ${MAX_ID_LENGTH} characters`);
  if (!id.isWellFormed()) throw badBody("field 'sessionId' is no valid text");
  if (/[/\\\0]/.test(id) || id === '.' || id.includes('..')) throw badBody("field 'sessionId' must not contain '/', '\\', '..' or NUL");
  if (id === ENTRYPOINT_ID) throw badRequest(`session id '${ENTRYPOINT_ID}' is reserved`);
}

export async function createSession(id: string, cwd: string): Promise<void> {
  checkId(id);
  if (sessions.has(id) || starting.has(id)) throw fail('CONFLICT', `conflict: session '${id}' already exists`);
  starting.add(id);
  try {
    sessions.set(id, await Session.start(id, cwd, currentEnv()));
    forgetEnded(id);
  } finally {
    starting.delete(id);
  }
}

/** Wire: the entrypoint's session is not listed. */
export const listSessions = (): readonly SessionView[] => Array.from(sessions.values(), (session) => session.view());

/** A session that takes commands: not the entrypoint's. */
export function session(id: string): Session {
  if (id === ENTRYPOINT_ID) throw badRequest(`session '${ENTRYPOINT_ID}' is reserved: it can only be read`);
  const found = sessions.get(id);
  if (found !== undefined) return found;
  if (endedByRestart(id)) throw fail('SESSION_ENDED', `gone: session '${id}' has ended: the toolbox was restarted and ended its processes; create a new one`);
  throw fail('PROCESS_NOT_FOUND', `not found: session '${id}' does not exist`);
}

export function sessionView(id: string): SessionView {
  return id === ENTRYPOINT_ID ? entrypoint().view() : session(id).view();
}

export function findCommand(sessionId: string, commandId: string): Pick<Command, 'id' | 'text' | 'exitCode' | 'log'> {
  if (sessionId !== ENTRYPOINT_ID) return session(sessionId).command(commandId);
  const { command } = entrypoint();
  if (command.id !== commandId) throw noCommand(sessionId, commandId);
  return command;
}

export async function deleteSession(id: string): Promise<void> {
  if (id !== ENTRYPOINT_ID && !sessions.has(id) && forgetEnded(id)) return;
  const found = session(id);
  await found.delete();
  if (sessions.get(id) === found) sessions.delete(id);
}
