import { currentEnv } from '../environment/environment.ts';
import { existingDirectory } from '../environment/places.ts';
import { badRequest } from '../errors.ts';
import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { optionalText } from '../http/fields.ts';
import { createContext } from './contexts.ts';
import { findPython } from './worker.ts';

/** `POST /process/interpreter/context` {cwd?, language?}. Its interpreter is started behind the reply: a run is about to follow. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const cwd = existingDirectory(optionalText(body, 'cwd'));
  const language = optionalText(body, 'language') || 'python';
  if (language !== 'python') throw badRequest(`unsupported language: ${language.slice(0, 100)}, use python`);
  if (findPython(currentEnv()) === null) throw badRequest('no Python was found in this sandbox');
  const context = createContext(cwd);
  sendJson(exchange, 200, context.info);
  // A failure shows at the run that follows.
  context.warmUp().catch(() => undefined);
}
