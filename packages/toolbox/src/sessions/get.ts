import { type Exchange, sendJson } from '../http/exchange.ts';
import { ENTRYPOINT_ID } from './entrypoint.ts';
import { sessionView } from './sessions.ts';

/** `GET /process/session/{sessionId}`, and `/process/session/entrypoint`. */
export const handle = (exchange: Exchange): void => sendJson(exchange, 200, sessionView(exchange.params[0] ?? ENTRYPOINT_ID));
