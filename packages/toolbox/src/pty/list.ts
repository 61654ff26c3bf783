import { type Exchange, sendJson } from '../http/exchange.ts';
import { ptyInfos } from './sessions.ts';

/** `GET /process/pty`. */
export function handle(exchange: Exchange): void {
  sendJson(exchange, 200, { sessions: ptyInfos() });
}
