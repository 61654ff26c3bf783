import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ChildMessage, PaddockConfig } from '@paddock/contract';
import { SUPERVISED_ENV } from '@paddock/contract';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ADMIN_KEY, startTestDatabase, testConfig, type TestDatabase } from './support.ts';

/** The real process, started as the supervisor starts it: settings on stdin, messages on descriptor 3. */
interface Process {
  readonly child: ChildProcess;
  readonly messages: ChildMessage[];
  readonly exited: Promise<number | null>;
  ready(): Promise<void>;
}

let database: TestDatabase;
let databaseUrl: string;
const running: ChildProcess[] = [];
const ROOT = join(import.meta.dirname, '../../..');

beforeAll(async () => {
  // The bundle, as the product runs it: a process that gave up root cannot read sources below a directory only root enters.
  execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts'), '--quiet']);
  database = await startTestDatabase();
  databaseUrl = await database.create();
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  await database?.stop();
  rmSync('/tmp/paddock-control-none', { recursive: true, force: true });
});

function start(config: Partial<PaddockConfig>): Process {
  const child = spawn(process.execPath, [join(ROOT, 'dist/control.mjs')], { stdio: ['pipe', 'ignore', 'pipe', 'pipe'], env: { ...process.env, [SUPERVISED_ENV]: '1' } });
  running.push(child);
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => { said += chunk.toString(); });
  const messages: ChildMessage[] = [];
  createInterface({ input: child.stdio[3] as Readable }).on('line', (line) => messages.push(JSON.parse(line) as ChildMessage));
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  child.stdin!.write(`${JSON.stringify(testConfig(databaseUrl, config))}\n`);
  return {
    child, messages, exited,
    async ready() {
      await expect.poll(() => {
        if (child.exitCode !== null) throw new Error(said);
        return messages.some(({ type }) => type === 'ready');
      }, { timeout: 20_000, interval: 20 }).toBe(true);
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function get(port: number, path: string, host = '127.0.0.1', headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request({ host, port, path, headers: { authorization: `Bearer ${ADMIN_KEY}`, ...headers }, agent: false }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => { body += chunk.toString(); });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    }).on('error', reject).end();
  });
}

test('serves API, previews and events on one port, on both loopbacks, as the service user; ends on SIGTERM', async () => {
  const port = await freePort();
  const control = start({ port });
  await control.ready();
  expect((await get(port, '/api/users/me')).status).toBe(200);
  expect((await get(port, '/api/users/me', '::1')).status).toBe(200);
  expect((await get(port, '/api/sandbox')).status).toBe(200);
  const preview = await get(port, '/', '127.0.0.1', { host: `3000-11111111-1111-4111-8111-111111111111.localhost:${port}` });
  expect(preview.status).toBeGreaterThanOrEqual(400);
  expect(JSON.parse(preview.body).source).toBe('DAYTONA_PROXY');
  expect((await get(port, '/toolbox/11111111-1111-4111-8111-111111111111/version')).status).toBe(404);
  expect((await get(port, '/api/socket.io/?EIO=4&transport=polling')).status).toBe(400);

  if (process.getuid?.() === 0) {
    const status = readFileSync(`/proc/${control.child.pid}/status`, 'utf8');
    const passwd = readFileSync('/etc/passwd', 'utf8').split('\n').find((line) => line.startsWith('paddock:'))!.split(':');
    expect(/^Uid:\s+(.*)$/m.exec(status)![1]!.split('\t')).toEqual(Array(4).fill(passwd[2]));
    expect(/^Gid:\s+(.*)$/m.exec(status)![1]!.split('\t')).toEqual(Array(4).fill(passwd[3]));
    expect(/^CapEff:\s+(.*)$/m.exec(status)![1]).toMatch(/^0+$/);
  }

  control.child.kill('SIGTERM');
  expect(await control.exited).toBe(0);
});

test('the end of stdin is the end of the parent', async () => {
  const control = start({ port: await freePort() });
  await control.ready();
  control.child.stdin!.end();
  expect(await control.exited).toBe(0);
});

test('a request that comes while it starts waits for the answer', async () => {
  const port = await freePort();
  const control = start({ port });
  const answer = (async () => {
    for (;;) {
      try {
        return await get(port, '/api/users/me');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
  })();
  expect((await answer).status).toBe(200);
  await control.ready();
});

test('a taken port is refused with a sentence, not retried', async () => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  const { port } = blocker.address() as { port: number };
  const control = start({ port });
  expect(await control.exited).toBe(1);
  expect(control.messages).toEqual([{ type: 'refused', reason: `Another program listens on 127.0.0.1 port ${port}. Stop it or set PADDOCK_PORT.` }]);
  blocker.close();
});

test('a generated key is told to the parent and only there', async () => {
  const config = { port: await freePort(), adminApiKey: null, databaseUrl: await database.create() };
  const first = start(config);
  await first.ready();
  const told = first.messages.filter(({ type }) => type === 'admin-key') as Array<{ key: string }>;
  expect(told).toHaveLength(1);
  expect((await get(config.port, '/api/users/me', '127.0.0.1', { authorization: `Bearer ${told[0]!.key}` })).status).toBe(200);
  first.child.kill('SIGTERM');
  await first.exited;
  const second = start(config);
  await second.ready();
  expect(second.messages.map(({ type }) => type)).toEqual(['ready']);
});

test('what is not HTTP gets a JSON answer and a closed connection', async () => {
  const port = await freePort();
  await start({ port }).ready();
  for (const [bytes, status] of [['NONSENSE\r\n\r\n', 400], [`GET / HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(80_000)}\r\n\r\n`, 431]] as const) {
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (chunk) => { text += chunk.toString(); });
      socket.on('close', () => resolve(text));
      socket.on('error', () => undefined);
    });
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ statusCode: status, source: 'DAYTONA_API' });
  }
});
