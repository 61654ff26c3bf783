import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { text } from '../http/fields.ts';
import { serverOf } from './servers.ts';
import { documentPath } from './uris.ts';

/** `POST /lsp/did-close`. A document that is not open stays so. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const uri = text(body, 'uri');
  const server = await serverOf(text(body, 'languageId'), text(body, 'pathToProject'));
  server.close(documentPath(uri));
  sendEmpty(exchange, 200);
}
