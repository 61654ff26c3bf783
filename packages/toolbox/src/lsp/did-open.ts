import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { text } from '../http/fields.ts';
import { serverOf } from './servers.ts';
import { documentPath } from './uris.ts';

/** `POST /lsp/did-open`. Wire: the text is read here, not sent by the client. Opened again, the server is told what changed on disk. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const uri = text(body, 'uri');
  const server = await serverOf(text(body, 'languageId'), text(body, 'pathToProject'));
  await server.open(documentPath(uri));
  sendEmpty(exchange, 200);
}
