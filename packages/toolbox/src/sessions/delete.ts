import { type Exchange, sendEmpty } from '../http/exchange.ts';
import { ENTRYPOINT_ID } from './entrypoint.ts';
import { deleteSession } from './sessions.ts';

/** `DELETE /process/session/{sessionId}`: 204 once its processes have ended, within 6 s. */
export async function handle(exchange: Exchange): Promise<void> {
  await deleteSession(exchange.params[0] ?? ENTRYPOINT_ID);
  sendEmpty(exchange, 204);
}
