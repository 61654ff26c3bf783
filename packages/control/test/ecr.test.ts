import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash, createHmac } from 'node:crypto';
import type { PaddockConfig } from '@paddock/contract';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestControl, startTestDatabase, testConfig, type TestControl, type TestDatabase } from './support.ts';

const REGISTRY = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const ROLE = 'arn:aws:iam::123456789012:role/daytona-ecr-puller';
const BROKER = 'arn:aws:iam::999999999999:role/broker';

/** A request as Amazon saw it. */
interface Seen {
  readonly action: string;
  readonly form: URLSearchParams;
  /** Access key that signed it; null: no signature. */
  readonly key: string | null;
  readonly sessionToken: string | null;
  readonly region: string | null;
}

/** Amazon's STS and ECR as far as this server speaks with them: signatures are checked, answers have the documented shapes. */
class FakeAmazon {
  readonly seen: Seen[] = [];
  /** Access key → secret of everything that may sign. */
  readonly secrets = new Map([['AKIAOPERATOR', 'operator secret']]);
  refuse: string | null = null;
  tokenLivesMs = 12 * 3_600_000;
  #server: Server | null = null;
  origin = '';

  async start(): Promise<void> {
    this.#server = createServer((req, res) => void this.#answer(req).then(([status, body]) => {
      res.writeHead(status, { 'content-type': 'application/json' });
      res.end(JSON.stringify(body));
    }));
    await new Promise<void>((resolve) => this.#server!.listen(0, '127.0.0.1', resolve));
    this.origin = `http://127.0.0.1:${(this.#server!.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }

  async #answer(req: IncomingMessage): Promise<[number, unknown]> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const target = String(req.headers['x-amz-target'] ?? '');
    const form = new URLSearchParams(target === '' ? body : '');
    const action = form.get('Action') ?? target;
    const credential = /Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request/.exec(req.headers.authorization ?? '');
    this.seen.push({ action, form, key: credential?.[1] ?? null, sessionToken: (req.headers['x-amz-security-token'] as string | undefined) ?? null, region: credential?.[3] ?? null });
    if (action !== 'AssumeRoleWithWebIdentity' && !this.#isSigned(req, body)) return [403, { Error: { Code: 'SignatureDoesNotMatch', Message: 'The request signature we calculated does not match' } }];
    if (this.refuse !== null && (form.get('RoleArn') ?? '') === this.refuse) return [403, { Error: { Code: 'AccessDenied', Message: `User is not authorized to perform: sts:AssumeRole on resource: ${this.refuse}` } }];
    if (action.startsWith('AssumeRole')) {
      const key = `ASIA${this.seen.length}`;
      this.secrets.set(key, `secret of ${key}`);
      return [200, { [`${action}Response`]: { [`${action}Result`]: { Credentials: { AccessKeyId: key, SecretAccessKey: `secret of ${key}`, SessionToken: `session of ${key}`, Expiration: Date.now() / 1000 + 900 } } } }];
    }
    if (target !== 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken') return [400, { message: `Unknown operation ${action}` }];
    return [200, { authorizationData: [{ authorizationToken: Buffer.from(`AWS:token:${this.seen.length}`).toString('base64'), expiresAt: (Date.now() + this.tokenLivesMs) / 1000, proxyEndpoint: `https://${REGISTRY}` }] }];
  }

  /** Signature version 4, written down once more from its description. */
  #isSigned(req: IncomingMessage, body: string): boolean {
    const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(req.headers.authorization ?? '');
    if (!match) return false;
    const [, key = '', date = '', region = '', service = '', signed = '', signature] = match;
    const sha = (text: string) => createHash('sha256').update(text).digest('hex');
    const hmac = (secret: string | Buffer, text: string) => createHmac('sha256', secret).update(text).digest();
    const headers = signed.split(';').map((name) => `${name}:${String(req.headers[name]).trim()}\n`).join('');
    const canonical = [req.method, '/', '', headers, signed, sha(body)].join('\n');
    const toSign = ['AWS4-HMAC-SHA256', req.headers['x-amz-date'], `${date}/${region}/${service}/aws4_request`, sha(canonical)].join('\n');
    const signingKey = ['aws4_request'].reduce((secret, part) => hmac(secret, part), hmac(hmac(hmac(`AWS4${this.secrets.get(key)}`, date), region), service));
    return hmac(signingKey, toSign).toString('hex') === signature;
  }
}

let amazon: FakeAmazon;
let database: TestDatabase;
let url: string;
beforeAll(async () => {
  amazon = new FakeAmazon();
  await amazon.start();
  database = await startTestDatabase();
  url = await database.create();
});
afterAll(async () => {
  amazon?.stop();
  await database?.stop();
});
beforeEach(() => {
  amazon.seen.length = 0;
  amazon.refuse = null;
  amazon.tokenLivesMs = 12 * 3_600_000;
});

async function withControl(overrides: Partial<PaddockConfig['amazon']>, work: (control: TestControl, organizationId: string) => Promise<void>): Promise<void> {
  const settings = { ...testConfig(url).amazon, stsEndpoint: amazon.origin, ecrEndpoint: amazon.origin, ...overrides };
  const control = await startTestControl(url, { config: { amazon: settings } });
  try {
    for (const { id } of (await control.call('GET', '/api/docker-registry')).body) await control.call('DELETE', `/api/docker-registry/${id}`);
    const made = await control.call('POST', '/api/docker-registry', { json: { name: 'ecr', url: REGISTRY, username: ROLE, password: '' } });
    expect(made.status, made.text).toBe(201);
    await work(control, (await control.call('GET', '/api/organizations')).body[0].id as string);
  } finally {
    await control.close();
  }
}

const OPERATOR = { accessKeyId: 'AKIAOPERATOR', secretAccessKey: 'operator secret' };

describe('a role as user name', () => {
  test('is assumed by the broker with the organization as external id, and gives a token that is kept', async () => {
    await withControl({ ...OPERATOR, brokerRoleArn: BROKER }, async (control, organizationId) => {
      const ask = () => control.context.dockerRegistries.authFor(organizationId, REGISTRY);
      const [first, second] = await Promise.all([ask(), ask()]);
      expect(first).toEqual({ host: REGISTRY, username: 'AWS', password: 'token:3' });
      expect([second, await ask()]).toEqual([first, first]);
      expect(amazon.seen.map(({ action }) => action)).toEqual(['AssumeRole', 'AssumeRole', 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken']);
      const [broker, role, token] = amazon.seen;
      expect([broker!.key, broker!.form.get('RoleArn'), broker!.form.get('ExternalId')]).toEqual(['AKIAOPERATOR', BROKER, null]);
      expect([role!.key, role!.sessionToken, role!.form.get('RoleArn'), role!.form.get('ExternalId'), role!.form.get('RoleSessionName')])
        .toEqual(['ASIA1', 'session of ASIA1', ROLE, organizationId, `daytona-${organizationId}-pull`]);
      expect([token!.key, token!.sessionToken, token!.region]).toEqual(['ASIA2', 'session of ASIA2', 'eu-central-1']);
    });
  });

  test('works without a broker, and with the token of a service account in place of a key', async () => {
    await withControl(OPERATOR, async (control, organizationId) => {
      expect(await control.context.dockerRegistries.authFor(organizationId, REGISTRY)).toMatchObject({ username: 'AWS' });
      expect(amazon.seen[0]!.form.get('RoleArn')).toBe(ROLE);
    });
    amazon.seen.length = 0;
    const directory = mkdtempSync(join(tmpdir(), 'paddock-ecr-'));
    writeFileSync(join(directory, 'token'), 'the token\n');
    await withControl({ roleArn: BROKER, webIdentityTokenFile: join(directory, 'token') }, async (control, organizationId) => {
      expect(await control.context.dockerRegistries.authFor(organizationId, REGISTRY)).toMatchObject({ username: 'AWS' });
      const [identity, role] = amazon.seen;
      expect([identity!.action, identity!.key, identity!.form.get('WebIdentityToken'), identity!.form.get('RoleArn')]).toEqual(['AssumeRoleWithWebIdentity', null, 'the token', BROKER]);
      expect([role!.key, role!.form.get('RoleArn')]).toEqual(['ASIA1', ROLE]);
    });
    rmSync(directory, { recursive: true });
  });

  test('is asked for again when the token is about to end', async () => {
    amazon.tokenLivesMs = 10 * 60_000;
    await withControl(OPERATOR, async (control, organizationId) => {
      const first = await control.context.dockerRegistries.authFor(organizationId, REGISTRY);
      expect((await control.context.dockerRegistries.authFor(organizationId, REGISTRY))!.password).not.toBe(first!.password);
    });
  });
});

describe('what goes wrong is said', () => {
  test('Amazon refuses: its words, nothing kept, and the other registries are still there', async () => {
    amazon.refuse = ROLE;
    await withControl(OPERATOR, async (control, organizationId) => {
      const ask = () => control.context.dockerRegistries.authFor(organizationId, REGISTRY);
      await expect(ask()).rejects.toMatchObject({ statusCode: 400, message: `Credentials of Amazon ECR cannot be had (role ${ROLE}): User is not authorized to perform: sts:AssumeRole on resource: ${ROLE}` });
      await control.call('POST', '/api/docker-registry', { json: { name: 'hub', url: 'docker.io', username: 'me', password: 'x' } });
      expect(await control.context.dockerRegistries.authsFor(organizationId)).toEqual([{ host: 'docker.io', username: 'me', password: 'x' }]);
      const tested = await control.call('POST', '/api/docker-registry/test-connection', { json: { url: REGISTRY, username: ROLE } });
      expect([tested.status, tested.body]).toEqual([200, { success: false, message: expect.stringContaining('cannot be had (role') }]);
      amazon.refuse = null;
      expect(await ask()).toMatchObject({ username: 'AWS' });
    });
  });

  test('a wrong key of the operator, no answer, no identity at all', async () => {
    const message = async (settings: Partial<PaddockConfig['amazon']>) => {
      let text = '';
      await withControl(settings, async (control, organizationId) => {
        text = await control.context.dockerRegistries.authFor(organizationId, REGISTRY).then(() => 'worked', (error: Error) => error.message);
      });
      return text;
    };
    expect(await message({ ...OPERATOR, secretAccessKey: 'wrong' })).toMatch(/cannot be had \(role .*signature/);
    const gone = new FakeAmazon();
    await gone.start();
    gone.stop();
    expect(await message({ ...OPERATOR, stsEndpoint: gone.origin })).toMatch(/127\.0\.0\.1:\d+ does not answer \(ECONNREFUSED\)/);
    expect(await message({})).toMatch(/^This server has no identity at Amazon.*AWS_ACCESS_KEY_ID/);
    expect(await message({ roleArn: BROKER, webIdentityTokenFile: '/nonexistent' })).toMatch(/web identity token cannot be read \(ENOENT\)/);
  });
});
