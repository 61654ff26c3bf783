import { type Exchange, sendJson } from '../http/exchange.ts';
import { viewOf } from './session.ts';
import { findCommand } from './sessions.ts';

/** `GET /process/session/{sessionId}/command/{commandId}`. Wire: no exit code while it runs. */
export const handle = (exchange: Exchange): void => sendJson(exchange, 200, viewOf(findCommand(exchange.params[0]!, exchange.params[1]!)));
