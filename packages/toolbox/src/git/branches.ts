import { type Exchange, sendJson } from '../http/exchange.ts';
import { currentBranch } from './head.ts';
import { queriedRepository } from './repository.ts';

/** `GET /git/branches`: local branches. `current` is left out when HEAD is detached; a branch without a commit is current but not listed. */
export async function handle(exchange: Exchange): Promise<void> {
  const git = await queriedRepository(exchange);
  const [names, current] = await Promise.all([git.must(['for-each-ref', '--format=%(refname:lstrip=2)', 'refs/heads']), currentBranch(git)]);
  sendJson(exchange, 200, { branches: names.split('\n').filter((name) => name !== ''), ...(current === null ? {} : { current }) });
}
