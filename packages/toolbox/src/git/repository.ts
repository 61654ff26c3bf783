import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../errors.ts';
import { absolute } from '../files/paths.ts';
import { type Exchange, requiredQuery } from '../http/exchange.ts';
import { type Body, text } from '../http/fields.ts';
import { untilGone } from '../http/gone.ts';
import { Git } from './git.ts';

/** git in the repository that a body's `path` names. */
export async function repositoryOf(exchange: Exchange, body: Body): Promise<Git> {
  return await open(exchange, text(body, 'path'));
}

/** git in the repository that the query's `path` names. */
export async function queriedRepository(exchange: Exchange): Promise<Git> {
  return await open(exchange, requiredQuery(exchange, 'path'));
}

/** Wire: the path is the root of the repository; parents are not searched. */
export async function open(exchange: Exchange, path: string): Promise<Git> {
  const root = absolute(path);
  if (!(await isRepository(root))) throw fail('GIT_REPO_NOT_FOUND', `not found: no git repository at ${root}`);
  return new Git(await realpath(root), untilGone(exchange));
}

/** With a work tree or bare. */
export async function isRepository(root: string): Promise<boolean> {
  const there = await Promise.all(['.git', 'HEAD', 'objects', 'refs'].map((name) => stat(join(root, name)).then(() => true, () => false)));
  return there[0]! || (there[1]! && there[2]! && there[3]!);
}

const tails = new Map<string, Promise<unknown>>();

/** One change of a repository's index and branches at a time: git itself refuses the second with "index.lock exists". */
export async function exclusively<T>({ cwd: root }: { readonly cwd: string }, change: () => Promise<T>): Promise<T> {
  const before = tails.get(root) ?? Promise.resolve();
  const mine = before.then(change, change);
  const settled = mine.then(() => undefined, () => undefined);
  tails.set(root, settled);
  try {
    return await mine;
  } finally {
    if (tails.get(root) === settled) tails.delete(root);
  }
}
