import { execFile, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Runs a program to its end. @returns what it printed; throws with everything it said when it fails */
export async function run(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(file, [...args], { env: { PATH: process.env['PATH'], HOME: '/nonexistent', LANG: 'C.UTF-8', ...env }, timeout: 100_000, maxBuffer: 16 * 1024 ** 2 });
  return stdout;
}

const BOTO3 = '1.43.102';
/** Kept between runs of a machine: installing takes longer than the tests. */
const VENV = `/var/tmp/paddock-test-boto3-${BOTO3}`;

/** @returns Python with boto3, or why this machine cannot have it */
export function pythonWithBoto3(): string | { readonly missing: string } {
  const program = join(VENV, 'bin/python');
  if (existsSync(join(VENV, 'installed'))) return program;
  rmSync(VENV, { recursive: true, force: true });
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', VENV], [program, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `boto3==${BOTO3}`], ['touch', join(VENV, 'installed')],
  ] as const) {
    const done = spawnSync(command, args, { encoding: 'utf8' });
    if (done.status !== 0) return { missing: `${command} ${args.join(' ')}: ${done.error?.message ?? done.stderr}` };
  }
  return program;
}
