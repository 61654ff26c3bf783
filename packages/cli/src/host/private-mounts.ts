import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceUser } from './service-user.ts';

/** A command line for spawn. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** Where `asUser` shows a directory to the command: name below `viewDir` → directory of the host. */
export type View = Readonly<Record<string, string>>;

/**
 * Runs a program as another user that sees some directories at paths it can reach, wherever they lie: in a data
 * directory below `mktemp -d` or a home directory, no parent needs to let strangers through. The directories are bind
 * mounts in a mount namespace of the program's own; they end with its last process.
 *
 * The program is the direct child of the caller (every step is an exec) and gets `deathSignal` when the caller dies.
 */
export function asUser(user: ServiceUser, viewDir: string, view: View, deathSignal: 'INT' | 'KILL', command: Command): Command {
  // Without root there is neither another user to become nor the right to mount: the paths are used as they are.
  if (process.getuid?.() !== 0) return command;
  const script: string[] = ['set -e'];
  for (const name of Object.keys(view)) {
    mkdirSync(join(viewDir, name), { recursive: true });
    script.push('mount --bind "$1" "$2"; shift 2');
  }
  script.push('exec "$@"');
  const binds = Object.entries(view).flatMap(([name, directory]) => [directory, join(viewDir, name)]);
  const drop = ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', '--no-new-privs', `--pdeathsig=${deathSignal}`, '--'];
  return {
    file: 'unshare',
    args: ['--mount', '--propagation', 'private', '--', 'sh', '-c', script.join('\n'), 'sh', ...binds, ...drop, command.file, ...command.args],
  };
}

/** Path of a directory of the view as the program sees it. */
export function inView(viewDir: string, view: View, name: string): string {
  return process.getuid?.() === 0 ? join(viewDir, name) : (view[name] ?? '');
}
