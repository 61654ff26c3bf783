import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { ptyRequestOf } from './request.ts';
import { createPtySession } from './sessions.ts';

/** `POST /process/pty`. Output that comes before a client is attached goes to the scrollback only. */
export async function handle(exchange: Exchange): Promise<void> {
  const request = ptyRequestOf(await readJson(exchange));
  createPtySession(request);
  sendJson(exchange, 201, { sessionId: request.id });
}
