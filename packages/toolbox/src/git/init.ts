import { mkdir, realpath } from 'node:fs/promises';
import { absolute } from '../files/paths.ts';
import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalBoolean, text } from '../http/fields.ts';
import { untilGone } from '../http/gone.ts';
import { Git } from './git.ts';
import { optionalBranchName } from './names.ts';
import { isRepository } from './repository.ts';

/** `POST /git/init`: the directory is made when it is missing; a repository that is there already is left as it is. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const root = absolute(text(body, 'path'));
  const bare = optionalBoolean(body, 'bare') ? ['--bare'] : [];
  const branch = optionalBranchName(body, 'initial_branch');
  await mkdir(root, { recursive: true });
  const fresh = !(await isRepository(root));
  const git = new Git(await realpath(root), untilGone(exchange));
  await git.must(['init', '--quiet', ...bare]);
  // An option for it came with git 2.28 only.
  if (fresh && branch !== undefined) await git.must(['symbolic-ref', 'HEAD', `refs/heads/${branch}`]);
  sendEmpty(exchange, 201);
}
