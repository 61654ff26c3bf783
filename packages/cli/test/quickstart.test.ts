import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { layoutOf } from '@paddock/contract';
import { describeTrace, destroyInstance, findTraces, runningInstance } from '@paddock/cli';

const script = fileURLToPath(new URL('../../../scripts/quickstart.mjs', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'paddock-quickstart-'));
const dataDir = join(scratch, 'data');
const layout = layoutOf(dataDir);
let port = 0;

beforeAll(async () => {
  const server = createServer();
  port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)));
  await new Promise((resolve) => server.close(resolve));
});
afterAll(async () => {
  await destroyInstance(layout, false);
  rmSync(scratch, { recursive: true });
  expect(findTraces(layout).map(describeTrace)).toEqual([]);
});

function quickstart(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  const startedAt = performance.now();
  const done = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: { PADDOCK_IMAGE_CACHE: '/var/tmp/paddock-test-cache', ...process.env, PADDOCK_DATA_DIR: dataDir, PADDOCK_PORT: String(port), PADDOCK_SSH_PORT: '0', PADDOCK_CONFIG: '/dev/null', ...env },
  });
  return { status: done.status, stdout: done.stdout, stderr: done.stderr, ms: performance.now() - startedAt };
}

describe('quickstart', () => {
  // A first run on a machine bootstraps Debian.
  test('ends with a result from a sandbox and a running server', { timeout: 900_000 }, () => {
    const first = quickstart();
    expect(first, first.stderr).toMatchObject({ status: 0 });
    expect(first.stdout).toMatch(/42 from Python 3/);
    expect(first.stdout).toContain(`API URL  http://localhost:${port}/api`);
    expect(runningInstance(layout)?.phase).toBe('ready');
  });

  test('keeps the key in a file that only root reads', () => {
    const file = join(dataDir, 'credentials.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((JSON.parse(readFileSync(file, 'utf8')) as { apiKey: string }).apiKey).toMatch(/^dtn_[0-9a-f]{64}$/);
  });

  test('takes less than five seconds when the server runs', () => {
    const { supervisor } = runningInstance(layout) ?? {};
    const second = quickstart();
    expect(second, second.stderr).toMatchObject({ status: 0 });
    expect(second.stdout).toMatch(/42 from Python 3/);
    expect(second.ms).toBeLessThan(5_000);
    expect(runningInstance(layout)?.supervisor).toEqual(supervisor);
  });

  test('refuses bad settings in words', () => {
    const bad = quickstart([], { PADDOCK_PORT: 'many' });
    expect(bad.status).toBe(2);
    expect(bad.stderr).toContain('PADDOCK_PORT: expected a whole number');
  });

  test('--stop stops the server', () => {
    expect(quickstart(['--stop'])).toMatchObject({ status: 0, stdout: 'stopped\n' });
    expect(runningInstance(layout)).toBeNull();
  });

  test('says why the server does not start', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve));
    try {
      const failed = quickstart();
      expect(failed.status).toBe(1);
      expect(failed.stdout + failed.stderr).toContain(`127.0.0.1:${port} cannot be used`);
    } finally {
      taken.close();
    }
  });
});
