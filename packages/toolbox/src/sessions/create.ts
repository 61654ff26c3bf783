import { homeDir, workDir } from '../environment/places.ts';
import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { text } from '../http/fields.ts';
import { startsAtHome } from './client.ts';
import { createSession } from './sessions.ts';

/** `POST /process/session`: 201 once the shell is ready for its first command. */
export async function handle(exchange: Exchange): Promise<void> {
  const id = text(await readJson(exchange), 'sessionId');
  await createSession(id, startsAtHome(exchange.request) ? homeDir : workDir);
  sendEmpty(exchange, 201);
}
