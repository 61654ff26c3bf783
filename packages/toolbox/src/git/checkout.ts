import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { revision } from './names.ts';
import { exclusively, repositoryOf } from './repository.ts';

/** `POST /git/checkout`: a branch, else a remote's branch of that name, else a commit (detached). */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const target = revision(body, 'branch');
  const git = await repositoryOf(exchange, body);
  // The dashes at the end keep a file of that name from being meant.
  await exclusively(git, () => git.must(['checkout', '--quiet', target, '--']));
  sendEmpty(exchange, 200);
}
