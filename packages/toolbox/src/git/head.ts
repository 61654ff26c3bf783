import { badRequest } from '../errors.ts';
import type { Git } from './git.ts';

/** Where branches lie among the references. */
export const HEADS = 'refs/heads/';

/** The branch that HEAD names, with or without a commit; null when HEAD is detached. */
export async function currentBranch(git: Git): Promise<string | null> {
  const { exitCode, stdout } = await git.run(['symbolic-ref', '--quiet', 'HEAD']);
  const ref = stdout.trimEnd();
  return exitCode === 0 && ref.startsWith(HEADS) ? ref.slice(HEADS.length) : null;
}

export async function requiredBranch(git: Git): Promise<string> {
  const branch = await currentBranch(git);
  if (branch === null) throw badRequest('HEAD is detached: name the branch');
  return branch;
}

/** Value of a setting of the repository or the user, null when there is none. */
export async function setting(git: Git, key: string): Promise<string | null> {
  const { exitCode, stdout } = await git.run(['config', '-z', '--get', key]);
  return exitCode === 0 ? stdout.slice(0, -1) : null;
}
