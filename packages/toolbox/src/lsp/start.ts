import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { text } from '../http/fields.ts';
import { start } from './servers.ts';

/** `POST /lsp/start`: answered when the server has been initialised; one that runs already stays. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  await start(text(body, 'languageId'), text(body, 'pathToProject'));
  sendEmpty(exchange, 200);
}
