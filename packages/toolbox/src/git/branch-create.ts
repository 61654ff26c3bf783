import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { branchName } from './names.ts';
import { exclusively, repositoryOf } from './repository.ts';

/** `POST /git/branches`. Wire: creates the branch at HEAD and checks it out. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const name = branchName(body, 'name');
  const git = await repositoryOf(exchange, body);
  await exclusively(git, () => git.must(['checkout', '--quiet', '-b', name]));
  sendEmpty(exchange, 201);
}
