import { type Exchange, sendJson } from '../http/exchange.ts';
import { ptySession } from './sessions.ts';

/** `GET /process/pty/{sessionId}`. */
export function handle(exchange: Exchange): void {
  sendJson(exchange, 200, ptySession(exchange.params[0]!).info);
}
