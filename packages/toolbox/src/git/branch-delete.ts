import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { branchName } from './names.ts';
import { exclusively, repositoryOf } from './repository.ts';

/** `DELETE /git/branches`: merged or not. The branch that is checked out stays. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const name = branchName(body, 'name');
  const git = await repositoryOf(exchange, body);
  await exclusively(git, () => git.must(['branch', '--quiet', '-D', '--', name]));
  sendEmpty(exchange, 204);
}
