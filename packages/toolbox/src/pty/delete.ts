import { type Exchange, sendJson } from '../http/exchange.ts';
import { deletePtySession } from './sessions.ts';

/** `DELETE /process/pty/{sessionId}`: kills everything the session runs. */
export function handle(exchange: Exchange): void {
  deletePtySession(exchange.params[0]!);
  sendJson(exchange, 200, { message: 'PTY session deleted' });
}
