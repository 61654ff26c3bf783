import { fail } from '../errors.ts';
import type { Git } from './git.ts';

/** Where a remote really leads, after the rewriting that the sandbox's configuration asks for. */
export async function urlOf(git: Git, remote: string, direction: 'push' | 'fetch'): Promise<string> {
  const { exitCode, stdout } = await git.run(['remote', 'get-url', ...(direction === 'push' ? ['--push'] : []), '--', remote]);
  if (exitCode !== 0) throw fail('GIT_REPO_NOT_FOUND', `not found: no remote named ${remote}`);
  return stdout.split('\n')[0]!;
}
