import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { text } from '../http/fields.ts';
import { serverOf } from './servers.ts';

/** `POST /lsp/stop`: answered when the server's process has ended. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const server = await serverOf(text(body, 'languageId'), text(body, 'pathToProject'));
  await server.stop();
  sendEmpty(exchange, 200);
}
