import { type Exchange, sendJson } from '../http/exchange.ts';
import { ptySession } from './sessions.ts';

/** `DELETE /process/pty/{sessionId}`: kills everything the session runs. */
export function handle(exchange: Exchange): void {
  ptySession(exchange.params[0]!).kill();
  sendJson(exchange, 200, { message: 'PTY session deleted' });
}
