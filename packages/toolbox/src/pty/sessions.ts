import { fail } from '../errors.ts';
import { forgetEndedPty, ptyEndedByRestart, ptysEndedByRestart } from '../sessions/orphans.ts';
import { type PtyInfo, type PtyRequest, PtySession } from './session.ts';

/** Sessions by id, in the order of their creation. One leaves as soon as its process has ended. */
const sessions = new Map<string, PtySession>();

/** Those that an earlier toolbox had when it died come first, not active: clients would look for them in vain. */
export const ptyInfos = (): readonly PtyInfo[] => [...ptysEndedByRestart(), ...Array.from(sessions.values(), ({ info }) => info)];

export const findPtySession = (id: string): PtySession | undefined => sessions.get(id);

export function ptySession(id: string): PtySession {
  const session = sessions.get(id);
  if (session !== undefined) return session;
  if (ptyEndedByRestart(id)) throw fail('GONE', `gone: PTY session '${id}' has ended: the toolbox was restarted and ended its processes; create a new one`);
  throw fail('NOT_FOUND', `not found: PTY session '${id}' not found`);
}

/** A new session, started unless it is to wait for its first client. */
export function createPtySession(request: PtyRequest): PtySession {
  if (sessions.has(request.id)) throw fail('CONFLICT', `conflict: PTY session with ID '${request.id}' already exists`);
  const session = new PtySession(request, () => sessions.delete(request.id));
  if (!request.lazyStart) session.start();
  sessions.set(request.id, session);
  forgetEndedPty(request.id);
  return session;
}

export function deletePtySession(id: string): void {
  if (!sessions.has(id) && forgetEndedPty(id)) return;
  ptySession(id).kill();
}
