import { type Exchange, requiredQuery, sendJson } from '../http/exchange.ts';
import { untilGone } from '../http/gone.ts';
import { serverOf } from './servers.ts';
import { flatten } from './symbols.ts';
import { documentPath, uriOf } from './uris.ts';

/** `GET /lsp/document-symbols` */
export async function handle(exchange: Exchange): Promise<void> {
  const [language, project, uri] = [requiredQuery(exchange, 'languageId'), requiredQuery(exchange, 'pathToProject'), requiredQuery(exchange, 'uri')];
  const gone = untilGone(exchange);
  const server = await serverOf(language, project);
  const path = documentPath(uri);
  sendJson(exchange, 200, flatten(await server.askAbout(path, 'textDocument/documentSymbol', {}, gone), uriOf(path)));
}
