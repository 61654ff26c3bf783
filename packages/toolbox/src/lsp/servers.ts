import { stat } from 'node:fs/promises';
import { currentEnv } from '../environment/environment.ts';
import { badRequest, fail, ToolboxError } from '../errors.ts';
import { LanguageServer } from './language-server.ts';
import { isLanguage, type Language, programsFor } from './programs.ts';
import { documentPath } from './uris.ts';

/** The running servers, one for a language and a project. One that ends by itself leaves the list. */
const servers = new Map<string, Promise<LanguageServer>>();

/** Nothing that was started here outlives the toolbox: a server without a client is of no use. */
const live = new Set<LanguageServer>();
process.once('exit', () => {
  for (const server of live) server.kill();
});

const keyOf = (language: string, root: string): string => `${language}\0${root}`;

/** Starts the server unless it runs. */
export async function start(language: string, project: string): Promise<void> {
  if (!isLanguage(language)) throw badRequest(`unsupported language: ${language.slice(0, 100)}, one of python, typescript, javascript is expected`);
  const root = documentPath(project);
  const key = keyOf(language, root);
  const running = servers.get(key);
  if (running) return void (await running);
  const starting = launch(language, root);
  servers.set(key, starting);
  const forget = (): void => {
    if (servers.get(key) === starting) servers.delete(key);
  };
  starting.then((server) => server.ended.then(forget), forget);
  await starting;
}

/** The first of the possible servers that comes up. */
async function launch(language: Language, root: string): Promise<LanguageServer> {
  const facts = await stat(root).catch(() => null);
  if (!facts?.isDirectory()) throw badRequest(`the project is not a directory: ${root}`);
  const env = currentEnv();
  let reason = 'none is installed in this sandbox';
  for (const program of programsFor(language, env)) {
    try {
      const server = await LanguageServer.start(program, root, language, env);
      live.add(server);
      void server.ended.then(() => live.delete(server));
      return server;
    } catch (error) {
      if (!(error instanceof ToolboxError)) throw error;
      reason = error.message;
    }
  }
  throw badRequest(`no language server for ${language}: ${reason}`);
}

/** Wire: using a server that was not started is a 400 with this code. */
export async function serverOf(language: string, project: string): Promise<LanguageServer> {
  const server = await servers.get(keyOf(language, documentPath(project)));
  if (!server) throw fail('LSP_SERVER_NOT_INITIALIZED', `bad request: server not initialized: no ${language.slice(0, 100)} server runs for this project, start it first`);
  return server;
}
