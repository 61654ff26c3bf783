import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { texts } from '../http/fields.ts';
import { pathspecs } from './names.ts';
import { exclusively, repositoryOf } from './repository.ts';
import { onPaths } from './paths.ts';

/** `POST /git/add`: stages new, changed and removed files. `["."]` means all. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const files = pathspecs(texts(body, 'files'));
  const git = await repositoryOf(exchange, body);
  if (files.length > 0) await exclusively(git, () => onPaths(git, ['add', '--all'], files));
  sendEmpty(exchange, 200);
}
