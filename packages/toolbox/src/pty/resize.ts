import { fail } from '../errors.ts';
import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { sizeOf } from './request.ts';
import { findPtySession } from './sessions.ts';

/** `POST /process/pty/{sessionId}/resize`. Wire: a session that is not there is gone (410), whether or not it ever was. */
export async function handle(exchange: Exchange): Promise<void> {
  const { cols, rows } = sizeOf(await readJson(exchange));
  const id = exchange.params[0]!;
  const session = findPtySession(id);
  if (session === undefined) throw fail('GONE', `gone: PTY session '${id}' not found or has ended`);
  session.resize(cols, rows);
  sendJson(exchange, 200, session.info);
}
