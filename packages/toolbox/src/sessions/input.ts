import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { text } from '../http/fields.ts';
import { session } from './sessions.ts';

/** `POST /process/session/{sessionId}/command/{commandId}/input`: one line of standard input; a newline is added when it has none. */
export async function handle(exchange: Exchange): Promise<void> {
  const data = text(await readJson(exchange), 'data');
  const found = session(exchange.params[0]!);
  await found.write(found.command(exchange.params[1]!), data);
  sendEmpty(exchange, 204);
}
