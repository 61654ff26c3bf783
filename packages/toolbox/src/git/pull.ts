import { badRequest } from '../errors.ts';
import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { credentialsFor, loginOf } from './credentials.ts';
import type { Git } from './git.ts';
import { requiredBranch, setting } from './head.ts';
import { optionalBranchName, optionalRemoteName } from './names.ts';
import { urlOf } from './remote-url.ts';
import { exclusively, repositoryOf } from './repository.ts';

/**
 * `POST /git/pull`: fetch, then fast-forward, else merge. A merge with conflicts is a 409 and stays in the work tree to be resolved.
 * Other changes of the repository wait for the merge only, not for the remote.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const remote = optionalRemoteName(body, 'remote');
  const named = optionalBranchName(body, 'branch');
  const login = loginOf(body);
  const git = await repositoryOf(exchange, body);
  const ref = named === undefined ? await upstreamRef(git, remote) : `refs/heads/${named}`;
  const credentials = credentialsFor(await urlOf(git, remote, 'fetch'), login);
  await git.withCredentials(credentials).must(['fetch', '--quiet', '--', remote, ref]);
  const commit = (await git.must(['rev-parse', '--verify', 'FETCH_HEAD'])).trimEnd();
  await exclusively(git, () => merge(git, commit, `Merge ${ref.replace('refs/heads/', "branch '")}' of ${remote}`));
  sendEmpty(exchange, 200);
}

/** The remote's branch that the current one follows, else the one of the same name. */
async function upstreamRef(git: Git, remote: string): Promise<string> {
  const branch = await requiredBranch(git);
  const [itsRemote, merge] = [await setting(git, `branch.${branch}.remote`), await setting(git, `branch.${branch}.merge`)];
  return itsRemote === remote && merge !== null ? merge : `refs/heads/${branch}`;
}

async function merge(git: Git, commit: string, message: string): Promise<void> {
  const forward = await git.run(['merge', '--quiet', '--ff-only', commit]);
  if (forward.exitCode === 0) return;
  if (!/Not possible to fast-forward|Diverging branches/i.test(forward.stderr)) throw git.failure(forward);
  // Without an identity git would merge the work tree and then refuse the commit.
  const identity = await git.run(['var', 'GIT_COMMITTER_IDENT']);
  if (identity.exitCode !== 0) throw badRequest('the branches have diverged and a merge needs a name and an email: configure user.name and user.email');
  await git.must(['merge', '--quiet', '--no-ff', '--no-edit', '-m', message, commit]);
}
