import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalBoolean } from '../http/fields.ts';
import { credentialsFor, loginOf } from './credentials.ts';
import type { Git } from './git.ts';
import { HEADS, requiredBranch } from './head.ts';
import { optionalBranchName, optionalRemoteName } from './names.ts';
import { urlOf } from './remote-url.ts';
import { exclusively, repositoryOf } from './repository.ts';

/** `POST /git/push`: a branch to the same name on the remote; by default the current one to `origin`. Never forced. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const remote = optionalRemoteName(body, 'remote');
  const named = optionalBranchName(body, 'branch');
  const upstream = optionalBoolean(body, 'set_upstream') ?? false;
  const login = loginOf(body);
  const git = await repositoryOf(exchange, body);
  const branch = named ?? (await requiredBranch(git));
  const ref = `${HEADS}${branch}`;
  const credentials = credentialsFor(await urlOf(git, remote, 'push'), login);
  await git.withCredentials(credentials).must(['push', ...(upstream ? ['--set-upstream'] : []), '--', remote, `${ref}:${ref}`]);
  if (upstream) await exclusively(git, () => track(git, remote, branch));
  sendEmpty(exchange, 200);
}

/** A clone of one branch follows no other: the remote's new branch is added, so that the local one has something to be compared with. */
async function track(git: Git, remote: string, branch: string): Promise<void> {
  const { stdout } = await git.run(['config', '-z', '--get-all', `remote.${remote}.fetch`]);
  const followed = stdout.split('\0').map((line) => line.replace(/^\+/, '').split(':')[0]!);
  if (followed.some((source) => source === `${HEADS}${branch}` || (source.endsWith('*') && `${HEADS}${branch}`.startsWith(source.slice(0, -1))))) return;
  await git.must(['remote', 'set-branches', '--add', '--', remote, branch]);
  await git.must(['update-ref', `refs/remotes/${remote}/${branch}`, `${HEADS}${branch}`]);
}
