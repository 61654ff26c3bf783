import { type Exchange, sendJson } from '../http/exchange.ts';
import { listSessions } from './sessions.ts';

/** `GET /process/session`. */
export const handle = (exchange: Exchange): void => sendJson(exchange, 200, listSessions());
