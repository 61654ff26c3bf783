import type { Git } from './git.ts';

/** Paths go by argument up to here, and by stdin, which only git ≥ 2.25 reads, beyond: one argument list holds 128 KiB at the least. */
const MAX_ARGUMENT_BYTES = 64 * 1024;

/** Runs a command that is limited to some paths. */
export async function onPaths(git: Git, args: readonly string[], paths: readonly string[]): Promise<void> {
  const bytes = paths.reduce((sum, path) => sum + Buffer.byteLength(path) + 1, 0);
  if (bytes <= MAX_ARGUMENT_BYTES) await git.must([...args, '--', ...paths]);
  else await git.must([...args, '--pathspec-from-file=-', '--pathspec-file-nul'], { stdin: paths.join('\0') });
}
