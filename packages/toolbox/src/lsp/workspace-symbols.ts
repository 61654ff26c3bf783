import { type Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Exchange, query, requiredQuery, sendJson } from '../http/exchange.ts';
import { untilGone } from '../http/gone.ts';
import type { LanguageServer } from './language-server.ts';
import { serverOf } from './servers.ts';
import { flatten } from './symbols.ts';

/** Directories looked into for a first source file. It lies near the top of every project we know of. */
const MAX_DIRECTORIES = 200;
const SOURCE = /\.[cm]?[jt]sx?$/;
const SKIPPED = /^(\.|node_modules$)/;

/** `GET /lsp/workspacesymbols`: symbols of the whole project. What an empty query finds is the server's affair. */
export async function handle(exchange: Exchange): Promise<void> {
  const [language, project] = [requiredQuery(exchange, 'languageId'), requiredQuery(exchange, 'pathToProject')];
  const wanted = query(exchange, 'query') ?? '';
  const gone = untilGone(exchange);
  const server = await serverOf(language, project);
  if (server.needsOpenFile && !server.hasOpenFiles) await openOne(server);
  sendJson(exchange, 200, flatten(await server.askAboutProject('workspace/symbol', { query: wanted }, gone), ''));
}

/** Makes the server load the project. */
async function openOne(server: LanguageServer): Promise<void> {
  const queue = [server.root];
  for (let looked = 0; looked < MAX_DIRECTORIES && looked < queue.length; looked++) {
    const dir = queue[looked]!;
    const entries: Dirent[] = await readdir(dir, { withFileTypes: true }).catch(() => []);
    const source = entries.find((entry) => entry.isFile() && SOURCE.test(entry.name));
    if (source) return await server.open(join(dir, source.name));
    queue.push(...entries.filter((entry) => entry.isDirectory() && !SKIPPED.test(entry.name)).map(({ name }) => join(dir, name)));
  }
}
