import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { workDir } from '../environment/places.ts';
import { badBody, fail } from '../errors.ts';
import { absolute } from '../files/paths.ts';
import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { type Body, optionalBoolean, optionalNumber, text } from '../http/fields.ts';
import { untilGone } from '../http/gone.ts';
import { credentialsFor, loginOf } from './credentials.ts';
import { Git } from './git.ts';
import { setting } from './head.ts';
import { optionalBranchName, optionalRevision } from './names.ts';
import { exclusively } from './repository.ts';
import { remoteUrl } from './url.ts';

interface Clone {
  readonly url: string;
  readonly target: string;
  readonly branch: string | undefined;
  readonly commit: string | undefined;
  readonly depth: number | undefined;
  readonly config: readonly string[];
}

/**
 * `POST /git/clone`: one branch, its whole history unless `depth`. Credentials, also those inside the URL, are used and not
 * kept. No hook runs, wherever it is configured. A clone that fails or is called off leaves nothing behind.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const { url, login } = remoteUrl(text(body, 'url'));
  const clone: Clone = {
    url,
    target: absolute(text(body, 'path')),
    branch: optionalBranchName(body, 'branch'),
    commit: optionalRevision(body, 'commit_id'),
    depth: depthOf(body),
    config: ['core.hooksPath=/dev/null', ...(optionalBoolean(body, 'insecure_skip_tls') ? ['http.sslVerify=false'] : [])],
  };
  const credentials = credentialsFor(url, loginOf(body) ?? login);
  const git = new Git(workDir, untilGone(exchange), credentials);
  // Two clones into one directory would each undo the other.
  await exclusively({ cwd: clone.target }, () => wholeOrNothing(git, clone));
  sendEmpty(exchange, 200);
}

async function wholeOrNothing(git: Git, clone: Clone): Promise<void> {
  const before = await entriesOf(clone.target);
  if (before !== null && before.length > 0) throw fail('CONFLICT', `conflict: ${clone.target} already exists and is not an empty directory`);
  try {
    await run(git, clone);
  } catch (error) {
    await undo(clone.target, before !== null);
    throw error;
  }
}

async function run(git: Git, { url, target, branch, commit, depth, config }: Clone): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const limit = depth === undefined ? [] : [`--depth=${depth}`];
  const which = branch === undefined ? [] : [`--branch=${branch}`];
  await git.must(['clone', '--quiet', '--single-branch', ...which, ...limit, ...(commit === undefined ? [] : ['--no-checkout']), '--', url, target], { config });
  const inside = git.at(target);
  // One branch of an empty repository is none at all: without this what is pushed later would have no upstream to compare with.
  if ((await setting(inside, 'remote.origin.fetch')) === null) await inside.must(['config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*']);
  if (commit === undefined) return;
  const known = await inside.run(['rev-parse', '--quiet', '--verify', `${commit}^{commit}`]);
  // A commit that no branch of the clone reaches can still be asked for by its hash.
  if (known.exitCode !== 0) await inside.must(['fetch', '--quiet', ...limit, '--', 'origin', commit], { config });
  await inside.must(['checkout', '--quiet', '--detach', known.exitCode === 0 ? commit : 'FETCH_HEAD', '--'], { config });
}

function depthOf(body: Body): number | undefined {
  const depth = optionalNumber(body, 'depth') ?? 0;
  if (!Number.isSafeInteger(depth) || depth < 0 || depth > 0x7fffffff) throw badBody("field 'depth' must be a whole number");
  return depth === 0 ? undefined : depth;
}

/** null when there is no such directory. */
async function entriesOf(dir: string): Promise<readonly string[] | null> {
  try {
    return await readdir(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') throw fail('CONFLICT', `conflict: ${dir} already exists and is not a directory`);
    throw error;
  }
}

async function undo(target: string, wasThere: boolean): Promise<void> {
  if (!wasThere) return await rm(target, { recursive: true, force: true });
  for (const name of (await entriesOf(target)) ?? []) await rm(join(target, name), { recursive: true, force: true });
}
