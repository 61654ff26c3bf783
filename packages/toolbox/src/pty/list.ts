import { type Exchange, sendJson } from '../http/exchange.ts';
import { allPtySessions } from './sessions.ts';

/** `GET /process/pty`. */
export function handle(exchange: Exchange): void {
  sendJson(exchange, 200, { sessions: allPtySessions().map(({ info }) => info) });
}
