import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import '../sdk/support.ts';

const SDK = 'daytona==0.226.1';
/** Kept between runs of a machine: installing takes longer than the test. */
const VENV = `/var/tmp/paddock-test-python-${SDK.split('==')[1]}`;

/** The SDK in an environment of its own; a sentence where this machine cannot have one. */
function python(): string | { missing: string } {
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

test('the Python SDK, sync and async: lifecycle, code, files, errors', ({ skip }) => {
  const program = python();
  if (typeof program !== 'string') return skip(`no Python SDK on this machine: ${program.missing}`);
  const out = execFileSync(program, [join(import.meta.dirname, 'smoke.py')], {
    encoding: 'utf8', env: { ...process.env, DAYTONA_API_URL: inject('apiUrl'), DAYTONA_API_KEY: inject('apiKey') },
  });
  expect(JSON.parse(out.trim().split('\n').at(-1)!)).toEqual({
    state: 'started', code: '42\n', exec: 3, download: 'hello', big: 3_000_000, files: ['a.txt'],
    missing_file: 'DaytonaFileNotFoundError', timeout: 'DaytonaProcessExecutionTimeoutError', stopped: 'stopped', kept: 'hello', preview: true,
    gone: 'DaytonaNotFoundError', async_code: '1\n', async_stopped: 'stopped',
  });
}, 300_000);
