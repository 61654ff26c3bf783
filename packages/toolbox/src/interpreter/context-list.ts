import { type Exchange, sendJson } from '../http/exchange.ts';
import { contextInfos } from './contexts.ts';

/** `GET /process/interpreter/context`. */
export function handle(exchange: Exchange): void {
  sendJson(exchange, 200, { contexts: contextInfos() });
}
