import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalBoolean, text } from '../http/fields.ts';
import type { Git } from './git.ts';
import { setting } from './head.ts';
import { remoteName } from './names.ts';
import { exclusively, repositoryOf } from './repository.ts';
import { withScheme } from './url.ts';

/**
 * `POST /git/remotes`. A user name and password inside the URL are kept there: the caller asks for the URL to be written down.
 * A remote whose first fetch fails is not kept, so that the request can be made again.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const name = remoteName(body, 'name');
  const url = withScheme(text(body, 'url'));
  const [fetch, overwrite] = [optionalBoolean(body, 'fetch'), optionalBoolean(body, 'overwrite')];
  const git = await repositoryOf(exchange, body);
  const former = await exclusively(git, () => write(git, name, url, overwrite ?? false));
  if (fetch) {
    const fetched = await git.run(['fetch', '--quiet', '--prune', '--', name]);
    if (fetched.exitCode !== 0) {
      await exclusively(git, () => (former === null ? git.must(['remote', 'remove', name]) : git.must(['config', '--replace-all', `remote.${name}.url`, former])));
      throw git.failure(fetched);
    }
  }
  sendEmpty(exchange, 201);
}

/** @returns the address that was replaced */
async function write(git: Git, name: string, url: string, overwrite: boolean): Promise<string | null> {
  const former = overwrite ? await setting(git, `remote.${name}.url`) : null;
  if (former === null) {
    await git.must(['remote', 'add', '--', name, url]);
    return null;
  }
  await git.must(['config', '--replace-all', `remote.${name}.url`, url]);
  // An address of its own for pushes would still lead to the former place; 5: there was none.
  await git.run(['config', '--unset-all', `remote.${name}.pushurl`]);
  return former;
}
