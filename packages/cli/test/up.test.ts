import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { layoutOf } from '@paddock/contract';
import { describeTrace, destroyInstance, findTraces, isAlive, runningInstance } from '@paddock/cli';

const paddock = fileURLToPath(new URL('../../../bin/paddock', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'paddock-up-'));
const layout = layoutOf(join(scratch, 'data'));
const KEY = 'a-key-of-the-operator';
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)));
  await new Promise((resolve) => server.close(resolve));
  env = {
    PADDOCK_IMAGE_CACHE: '/var/tmp/paddock-test-cache',
    ...process.env,
    PADDOCK_DATA_DIR: layout.dataDir,
    PADDOCK_PORT: String(port),
    PADDOCK_SSH_PORT: '0',
    PADDOCK_ADMIN_API_KEY: KEY,
    PADDOCK_WARM_POOL: '0',
    PADDOCK_CONFIG: '/dev/null',
  };
});
afterAll(async () => {
  await destroyInstance(layout, false);
  rmSync(scratch, { recursive: true });
});

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(paddock, args, { env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

async function up(): Promise<ChildProcess> {
  const child = spawn(paddock, ['up'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  while (runningInstance(layout)?.phase !== 'ready') {
    if (child.exitCode !== null) throw new Error(`paddock up ended:\n${said}`);
    await sleep(20);
  }
  return child;
}

const ended = (child: ChildProcess) => new Promise<number | null>((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(child.exitCode)));
const part = (name: 'control' | 'runner' | 'postgres') => runningInstance(layout)?.parts[name];

describe('paddock up', () => {
  let server: ChildProcess;

  test('serves, and keeps what it stores from other users', { timeout: 900_000 }, async () => {
    server = await up();
    expect(run('status')).toMatchObject({ status: 0 });
    expect(statSync(layout.dataDir).mode & 0o777).toBe(0o700);
    const reply = await fetch(`http://127.0.0.1:${env['PADDOCK_PORT']}/api/api-keys/current`, { headers: { Authorization: `Bearer ${KEY}` } });
    expect(reply.status).toBe(200);
  });

  test('runs only the runner as root, and no part has the key in its arguments or environment', () => {
    for (const name of ['control', 'runner', 'postgres'] as const) {
      const { pid = 0 } = part(name) ?? {};
      expect(/^Uid:\s+0\b/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')), name).toBe(name === 'runner');
      expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'utf8'), name).not.toContain(KEY);
    }
  });

  test('refuses to run twice on one data directory', () => {
    const second = run('up', '--port', '1'.padStart(5, '4'));
    expect(second.status).toBe(1);
    expect(second.stderr).toContain(`Paddock already runs on ${layout.dataDir}`);
  });

  test.each(['control', 'runner', 'postgres'] as const)('starts %s again when it is killed', async (name) => {
    const before = part(name);
    process.kill(before?.pid ?? 0, 'SIGKILL');
    while (part(name) === undefined || part(name)?.pid === before?.pid) await sleep(20);
    for (;;) {
      const reply = await fetch(`http://127.0.0.1:${env['PADDOCK_PORT']}/api/health/ready`, { headers: { Authorization: `Bearer ${KEY}` } }).catch(() => null);
      if (reply?.ok) break;
      await sleep(50);
    }
  });

  test('can be started again at once after it was killed, and its parts do not outlive it', async () => {
    const parts = (['control', 'runner', 'postgres'] as const).map(part);
    server.kill('SIGKILL');
    await ended(server);
    const next = await up();
    for (const old of parts) expect(old && isAlive(old)).toBe(false);
    server = next;
  });

  test('stops at a signal and leaves nothing behind but its data', async () => {
    server.kill('SIGINT');
    expect(await ended(server)).toBe(0);
    expect(run('status')).toMatchObject({ status: 1, stdout: 'stopped\n' });
    expect(findTraces(layout).map(describeTrace)).toEqual([]);
    expect(existsSync(layout.dataDir)).toBe(true);
  });

  test('`paddock destroy` wants to be meant, then removes everything', () => {
    expect(run('destroy')).toMatchObject({ status: 2 });
    expect(run('destroy', '--yes')).toMatchObject({ status: 0, stdout: 'nothing is left\n' });
    expect([existsSync(layout.dataDir), existsSync(layout.runDir)]).toEqual([false, false]);
  });
});
