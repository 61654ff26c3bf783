import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { startPostgres, type Postgres } from '@paddock/cli';
import { layoutOf, type PaddockConfig } from '@paddock/contract';
import pg from 'pg';
import { pino } from 'pino';
import { bootstrap, buildApp, createContext, DOMAINS, migrate, MIGRATIONS, type ApiServer, type ControlContext, type Domain } from '@paddock/control';

/** A real PostgreSQL of the test file's own, and control planes on databases of their own in it. */
export interface TestDatabase {
  readonly postgres: Postgres;
  /** URL of a new, empty database. */
  create(): Promise<string>;
  /** kill -9 of the whole server, then a start on the same data. @param pauseMs how long it stays away */
  crash(pauseMs: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startTestDatabase(): Promise<TestDatabase> {
  const directory = mkdtempSync('/tmp/paddock-control-');
  chmodSync(directory, 0o755); // PostgreSQL's user looks for its libraries below it
  const layout = layoutOf(join(directory, 'data'), join(directory, 'run'));
  const start = () => startPostgres({ layout, serviceUser: 'paddock' });
  let postgres = await start();
  return {
    get postgres() { return postgres; },
    async create() {
      const name = `t${randomBytes(6).toString('hex')}`;
      const client = new pg.Client(postgres.url);
      await client.connect();
      await client.query(`CREATE DATABASE ${name}`);
      await client.end();
      return postgres.url.replace('postgresql:///paddock', `postgresql:///${name}`);
    },
    async crash(pauseMs) {
      process.kill(postgres.pid, 'SIGKILL');
      await postgres.exited;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      postgres = await start();
    },
    async stop() {
      await postgres.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export const ADMIN_KEY = `dtn_${'a1'.repeat(32)}`;
export const HEALTH_KEY = 'health-key-of-the-tests';

export function testConfig(databaseUrl: string, overrides: Partial<PaddockConfig> = {}): PaddockConfig {
  return {
    dataDir: '/tmp/paddock-control-none', runRoot: '/tmp/paddock-control-none/run', host: '127.0.0.1', port: 0, sshPort: 0,
    publicUrl: 'http://localhost:3000', previewDomain: 'localhost:3000', previewProtocol: 'http', trustedProxies: [], databaseUrl,
    adminApiKey: ADMIN_KEY, healthApiKey: HEALTH_KEY, serviceUser: 'paddock', region: 'us', defaultSnapshot: 'daytona-small', warmPool: {},
    volumes: { driver: 'local', sizeGiB: 1 }, pool: { sizeGiB: 1, device: null }, builds: { cpus: 2, memoryGiB: 4, diskGiB: 20, timeoutMinutes: 60, atOnce: 2, caFile: null }, images: { publish: 'auto' }, image: { default: 'slim', suite: 'trixie', mirror: null }, registries: { insecure: [], mirrors: {}, imageLimitGiB: 50 }, network: { subnet: null, denied: [], dns: null },
    objectStore: { endpoint: null, stsEndpoint: null, region: 'us-east-1', accessKey: null, secretKey: null, bucket: 'daytona-volume-builds', accountId: null, roleName: null },
    amazon: { brokerRoleArn: null, accessKeyId: null, secretAccessKey: null, sessionToken: null, roleArn: null, webIdentityTokenFile: null, stsEndpoint: null, ecrEndpoint: null },
    logLevel: 'error',
    ...overrides,
  };
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Parsed body; undefined when it is empty or no JSON. */
  readonly body: any;
}

export interface Call {
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is, without a Content-Type. */
  readonly raw?: string | Buffer;
}

export interface TestControl {
  readonly context: ControlContext;
  readonly app: ApiServer;
  readonly port: number;
  /** Real HTTP over loopback. The path is sent byte for byte. */
  call(method: string, path: string, options?: Call): Promise<Reply>;
  /** Makes a key with these permissions. @returns its value */
  keyWith(...permissions: string[]): Promise<string>;
  close(): Promise<void>;
}

export async function startTestControl(databaseUrl: string, options: { config?: Partial<PaddockConfig>; domains?: readonly Domain[] } = {}): Promise<TestControl> {
  const config = testConfig(databaseUrl, options.config);
  const context = createContext(config, pino({ level: process.env.PADDOCK_TEST_LOG ?? 'silent' }));
  await migrate(context.db, MIGRATIONS, context.log);
  await bootstrap(context.db, config, () => undefined);
  await context.auth.start();
  const app = await buildApp(context, options.domains ?? DOMAINS);
  const server: Server = createServer((req, res) => app.routing(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const call: TestControl['call'] = (method, path, { key = ADMIN_KEY, headers = {}, json, raw } = {}) => send(port, method, path, {
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    ...headers,
  }, json === undefined ? raw : JSON.stringify(json));
  let keys = 0;
  return {
    context, app, port, call,
    async keyWith(...permissions) {
      const reply = await call('POST', '/api/api-keys', { json: { name: `test-${keys++}`, permissions } });
      if (reply.status !== 201) throw new Error(reply.text);
      return reply.body.value as string;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await app.close();
      await context.auth.close();
      await context.db.close();
    },
  };
}

function send(port: number, method: string, path: string, headers: Record<string, string>, body: string | Buffer | undefined): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, method, path, headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }) } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        let parsed: unknown;
        try { parsed = JSON.parse(text); } catch { parsed = undefined; }
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, body: parsed });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}
