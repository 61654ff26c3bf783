import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { layoutOf, type Layout } from '@paddock/contract';
import { describeTrace, destroyInstance, findTraces, type InstanceState, readState } from '@paddock/cli';
import { findSandboxTraces } from './sandbox-traces.ts';
import type { Paddock, PaddockOptions } from './types.ts';

export type { Paddock, PaddockOptions } from './types.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A first start makes the image, which takes minutes when this machine has none in its cache. */
const START_MS = 900_000;

/**
 * Starts a whole Paddock as an operator would (`bin/paddock up`), in a data directory of its own that only root enters and
 * on a free port, and returns when it is ready: API up, image there.
 */
export async function startPaddock({ warmPool = '0', env = {}, earlier }: PaddockOptions = {}): Promise<Paddock> {
  const dataDir = earlier?.layout.dataDir ?? join(mkdtempSync(join(tmpdir(), 'paddock-e2e-')), 'data');
  const layout = layoutOf(dataDir);
  const apiKey = earlier?.apiKey ?? `dtn_${randomBytes(32).toString('hex')}`;
  const port = earlier ? Number(new URL(earlier.apiUrl).port) : await freePort();
  const log: string[] = [];
  const supervisor = spawn(join(root, 'bin/paddock'), ['up'], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PADDOCK_IMAGE_CACHE: imageCache(),
      ...process.env,
      PADDOCK_DATA_DIR: dataDir,
      PADDOCK_PORT: String(port),
      PADDOCK_SSH_PORT: String(await freePort()),
      PADDOCK_ADMIN_API_KEY: apiKey,
      PADDOCK_WARM_POOL: warmPool,
      PADDOCK_POOL_SIZE_GIB: '40',
      PADDOCK_CONFIG: '/dev/null',
      ...env,
    },
  });
  for (const stream of [supervisor.stdout, supervisor.stderr]) stream.on('data', (chunk: Buffer) => log.push(chunk.toString()));
  const logs = () => log.join('');
  const removeAll = async () => {
    await destroyInstance(layout, false);
    spawnSync('rm', ['-rf', join(dataDir, '..')]);
  };
  try {
    await ready(layout, supervisor, logs);
  } catch (error) {
    await removeAll();
    throw error;
  }

  const state = (): InstanceState | null => readState(layout);
  const paddock: Paddock = {
    apiUrl: `http://localhost:${port}/api`,
    apiKey,
    layout,
    logs,
    pids() {
      const { supervisor: own, parts } = state() ?? {};
      return { supervisor: own?.pid ?? 0, control: parts?.control?.pid ?? 0, runner: parts?.runner?.pid ?? 0, postgres: parts?.postgres?.pid ?? 0 };
    },
    kill9(name) {
      const pid = paddock.pids()[name];
      try {
        return pid > 0 && process.kill(pid, 'SIGKILL');
      } catch {
        return false; // ended since the state was written
      }
    },
    warmPoolFull: () => warmPoolFull(layout, warmPool),
    sandboxLeftovers: () => findSandboxTraces(layout, state()?.parts.runner?.pid ?? null),
    leftovers: () => findTraces(layout).map(describeTrace),
    async halt() {
      const ended = new Promise((resolve) => supervisor.once('exit', resolve));
      supervisor.kill('SIGTERM');
      await ended;
    },
    async stop() {
      if (supervisor.exitCode === null) await deleteAll(`http://localhost:${port}/api`, apiKey);
      await removeAll();
    },
  };
  return paddock;
}

/** Debian is bootstrapped once a machine, not once a test file. */
function imageCache(): string {
  return '/var/tmp/paddock-test-cache';
}

/** Resolves when the instance's state file says ready; rejects when the supervisor ends or the image fails. */
function ready(layout: Layout, supervisor: ChildProcess, logs: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => finish(() => reject(new Error(`Paddock did not start: ${reason}\n${logs().slice(-8_000)}`)));
    // The run directory is made by the supervisor: until it is there its parent tells.
    const interval = setInterval(check, 20);
    const timer = setTimeout(() => fail('it took too long'), START_MS);
    const onExit = (code: number | null) => fail(`exit status ${code}`);
    supervisor.once('exit', onExit);
    function check(): void {
      const now = readState(layout);
      if (now?.phase === 'ready') finish(resolve);
      if (now?.phase === 'failed') fail(now.progress?.text ?? 'image failed');
    }
    function finish(then: () => void): void {
      clearInterval(interval);
      clearTimeout(timer);
      supervisor.off('exit', onExit);
      then();
    }
  });
}

/** Sandboxes first, through the API: what stopping leaves behind is then the server's own doing. */
async function deleteAll(apiUrl: string, apiKey: string): Promise<void> {
  const headers = { Authorization: `Bearer ${apiKey}` };
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const reply = await fetch(`${apiUrl}/sandbox?limit=100`, { headers }).catch(() => null);
    if (!reply?.ok) return; // nobody to ask: `paddock destroy` removes them the hard way
    const { items } = (await reply.json()) as { items: Array<{ id: string }> };
    if (items.length === 0) return;
    await Promise.all(items.map(({ id }) => fetch(`${apiUrl}/sandbox/${id}?force=true`, { method: 'DELETE', headers }).catch(() => null)));
    await sleep(100);
  }
}

/** Reads the database: the pool is no business of the API. */
async function warmPoolFull(layout: Layout, wanted: string): Promise<void> {
  const size = [...wanted.matchAll(/=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  if (size === 0) return;
  const client = new pg.Client({ host: layout.postgresSocketDir, user: 'paddock', database: 'paddock' });
  await client.connect();
  try {
    for (;;) {
      const { rows } = await client.query<{ n: number }>("select count(*)::int n from sandboxes where organization_id = '00000000-0000-0000-0000-000000000000' and state = 'started'");
      if ((rows[0]?.n ?? 0) >= size) return;
      await sleep(20);
    }
  } finally {
    await client.end();
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
