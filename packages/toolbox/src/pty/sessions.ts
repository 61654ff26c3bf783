import { fail } from '../errors.ts';
import { type PtyRequest, PtySession } from './session.ts';

/** Sessions by id, in the order of their creation. One leaves as soon as its process has ended. */
const sessions = new Map<string, PtySession>();

export const allPtySessions = (): readonly PtySession[] => [...sessions.values()];

export const findPtySession = (id: string): PtySession | undefined => sessions.get(id);

export function ptySession(id: string): PtySession {
  const session = sessions.get(id);
  if (session === undefined) throw fail('NOT_FOUND', `not found: PTY session '${id}' not found`);
  return session;
}

/** A new session, started unless it is to wait for its first client. */
export function createPtySession(request: PtyRequest): PtySession {
  if (sessions.has(request.id)) throw fail('CONFLICT', `conflict: PTY session with ID '${request.id}' already exists`);
  const session = new PtySession(request, () => sessions.delete(request.id));
  if (!request.lazyStart) session.start();
  sessions.set(request.id, session);
  return session;
}
