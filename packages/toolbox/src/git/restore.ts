import { badBody } from '../errors.ts';
import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalBoolean, texts } from '../http/fields.ts';
import { optionalRevision, pathspecs } from './names.ts';
import { onPaths } from './paths.ts';
import { exclusively, repositoryOf } from './repository.ts';

/** `POST /git/restore`: files of the work tree, the index or both, from the index or from `source`. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const files = pathspecs(texts(body, 'files'));
  if (files.length === 0) throw badBody("field 'files' must name at least one file");
  const staged = optionalBoolean(body, 'staged') ?? false;
  const worktree = optionalBoolean(body, 'worktree') ?? !staged;
  const source = optionalRevision(body, 'source');
  if (!staged && !worktree) throw badBody("one of 'staged' and 'worktree' must be true");
  const git = await repositoryOf(exchange, body);
  const args = ['restore', '--quiet', ...(staged ? ['--staged'] : []), ...(worktree ? ['--worktree'] : []), ...(source === undefined ? [] : [`--source=${source}`])];
  await exclusively(git, () => onPaths(git, args, files));
  sendEmpty(exchange, 200);
}
