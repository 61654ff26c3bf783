import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inject, type TestContext } from 'vitest';
import '../sdk/support.ts';

const SDK = 'daytona==0.226.1';
/** Kept between runs of a machine: installing takes longer than the tests. */
const VENV = `/var/tmp/paddock-test-python-${SDK.split('==')[1]}`;

/** Longest that one program may take, in ms. */
export const PROGRAM_TIMEOUT_MS = 120_000;

export interface Drive {
  /** On top of what leads to the server. */
  readonly env?: Readonly<Record<string, string>>;
  /** Command that runs the command behind it. */
  readonly through?: readonly string[];
}

/** Runs a program of this folder with the unmodified Python SDK against the server. @param snapshot of its sandboxes; the default one when left out @returns the JSON of its last line; skips the test where there can be no SDK */
export async function drive(program: string, skip: TestContext['skip'], snapshot?: string, { env = {}, through = [] }: Drive = {}): Promise<unknown> {
  const python = install();
  if (typeof python !== 'string') return skip(`no Python SDK on this machine: ${python.missing}`);
  const [file = '', ...args] = [...through, python, join(import.meta.dirname, program)];
  const child = spawn(file, args, {
    env: { ...process.env, DAYTONA_API_URL: inject('apiUrl'), DAYTONA_API_KEY: inject('apiKey'), PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1', ...(snapshot === undefined ? {} : { PADDOCK_TEST_SNAPSHOT: snapshot }), ...env },
    stdio: ['ignore', 'pipe', 'pipe'], timeout: PROGRAM_TIMEOUT_MS,
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new Error(`${program} ended with ${code ?? signal}\n${said.stdout}\n${said.stderr}`);
  return JSON.parse(said.stdout.trim().split('\n').at(-1)!);
}

/** The SDK in an environment of its own; a sentence where this machine cannot have one. */
function install(): string | { missing: string } {
  const program = join(VENV, 'bin/python');
  if (existsSync(join(VENV, 'installed'))) return program;
  rmSync(VENV, { recursive: true, force: true });
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', VENV], [program, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', SDK], ['touch', join(VENV, 'installed')],
  ] as const) {
    const done = spawnSync(command, args, { encoding: 'utf8' });
    if (done.status !== 0) return { missing: `${command} ${args.join(' ')}: ${done.error?.message ?? done.stderr}` };
  }
  return program;
}
