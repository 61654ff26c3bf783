import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { layoutOf, type PaddockConfig } from '@paddock/contract';
import { bootstrap, buildApp, createContext, createSandboxPlane, domainsWith, migrate, MIGRATIONS, type ControlContext, type SandboxPlane } from '@paddock/control';
import { pino } from 'pino';
import { ADMIN_KEY, testConfig, type Reply } from './support.ts';
import { RunnerPeer } from './runner-peer.ts';

export interface TestPlane {
  readonly context: ControlContext;
  readonly plane: SandboxPlane;
  readonly runner: RunnerPeer;
  readonly port: number;
  readonly config: PaddockConfig;
  call(method: string, path: string, json?: unknown, key?: string): Promise<Reply>;
  /** Makes a sandbox and answers with its DTO. */
  create(body?: object): Promise<any>;
  state(id: string): Promise<string>;
  /** Stops the plane without letting it finish anything, as far as a process can do that to itself. */
  close(): Promise<void>;
}

/** A control plane with its sandboxes, on a database of its own and a runner peer. Pass `earlier` to restart one on the same data. */
export async function startPlane(databaseUrl: string, options: { config?: Partial<PaddockConfig>; earlier?: TestPlane } = {}): Promise<TestPlane> {
  const dataDir = options.earlier?.config.dataDir ?? mkdtempSync('/tmp/paddock-sandboxes-');
  const config = testConfig(databaseUrl, { dataDir, runRoot: join(dataDir, 'r'), ...options.config });
  const runner = options.earlier?.runner ?? new RunnerPeer(layoutOf(config.dataDir, config.runRoot).runnerSocket);
  if (!options.earlier) {
    process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }));
    await runner.start();
  }
  const context = createContext(config, pino({ level: process.env.PADDOCK_TEST_LOG ?? 'silent' }));
  await migrate(context.db, MIGRATIONS, context.log);
  await bootstrap(context.db, config, () => undefined);
  await context.auth.start();
  const plane = await createSandboxPlane(context);
  const app = await buildApp(context, domainsWith([plane.domain]));
  const server: Server = createServer((req, res) => app.routing(req, res));
  server.on('upgrade', (req, socket, head) => plane.sockets.upgrade(req, socket, head));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await plane.start();
  await until(async () => (await context.readiness.report()).ready, 'the runner is reached');
  const call: TestPlane['call'] = (method, path, json, key = ADMIN_KEY) => send(port, method, path, key, json);
  await until(async () => (await call('GET', '/api/snapshots/daytona-small')).body.state === 'active', 'the default snapshot is active');
  return {
    context, plane, runner, port, config, call,
    async create(body = {}) {
      const reply = await call('POST', '/api/sandbox', body);
      if (reply.status !== 200) throw new Error(reply.text);
      return reply.body;
    },
    async state(id) {
      const reply = await call('GET', `/api/sandbox/${id}`);
      return reply.status === 404 ? 'destroyed' : reply.body.state;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await plane.stop();
      await app.close();
      await context.auth.close();
      await context.db.close();
    },
  };
}

export async function stopPlane(test: TestPlane): Promise<void> {
  await test.close();
  await test.runner.kill();
  rmSync(test.config.dataDir, { recursive: true, force: true });
}

export async function until(condition: () => Promise<boolean> | boolean, what: string, limitMs = 10_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Not within ${limitMs} ms: ${what}`);
    await sleep(20);
  }
}

function send(port: number, method: string, path: string, key: string, json: unknown): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const text = json === undefined ? undefined : JSON.stringify(json);
    const headers = { authorization: `Bearer ${key}`, ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }) };
    const req = httpRequest({ host: '127.0.0.1', port, method, path, headers }, (res) => {
      let body = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => { body += chunk; });
      res.on('error', reject);
      res.on('end', () => {
        let parsed: unknown;
        try { parsed = JSON.parse(body); } catch { parsed = undefined; }
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text: body, body: parsed });
      });
    });
    req.on('error', reject);
    req.end(text);
  });
}
