import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DockerRegistry } from '@paddock/contract';
import pg from 'pg';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secondOrganization, type SecondOrganization } from './second-organization.ts';
import { ADMIN_KEY, startTestControl, startTestDatabase, type Call, type TestControl, type TestDatabase } from './support.ts';

let database: TestDatabase;
let url: string;
let control: TestControl;
let other: SecondOrganization;
let organizationId: string;
beforeAll(async () => {
  database = await startTestDatabase();
  url = await database.create();
  control = await startTestControl(url);
  other = await secondOrganization(url);
  organizationId = (await control.call('GET', '/api/organizations')).body[0].id;
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

const HUB = { name: 'Hub', url: 'docker.io', username: 'me', password: 'hub secret' };
const create = (json: unknown, options: Call = {}) => control.call('POST', '/api/docker-registry', { json, ...options });
const auths = () => control.context.dockerRegistries;

async function rows(): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  const result = await client.query('SELECT * FROM docker_registries');
  await client.end();
  return result.rows as Record<string, unknown>[];
}

describe('creating', () => {
  test('answers 201 with everything but the password, which is kept encrypted', async () => {
    const reply = await create({ ...HUB, project: 'team' });
    expect(reply.status).toBe(201);
    expect(Check(DockerRegistry, reply.body)).toBe(true);
    expect(reply.body).toMatchObject({ name: 'Hub', url: 'docker.io', username: 'me', project: 'team', registryType: 'organization' });
    expect(reply.text).not.toContain('hub secret');
    const [row] = await rows();
    expect(JSON.stringify({ ...row, password: (row!['password'] as Buffer).toString('latin1') })).not.toContain('hub secret');
    expect(await auths().authFor(organizationId, 'docker.io')).toEqual({ host: 'docker.io', username: 'me', password: 'hub secret' });
  });

  test('names of Docker Hub are one, a scheme is kept but not needed, slashes at the end go', async () => {
    for (const [given, shown] of [
      ['https://registry.hub.docker.com/', 'docker.io'], ['https://index.docker.io/v1/', 'docker.io'], ['DOCKER.IO', 'docker.io'], ['https://ghcr.io/', 'https://ghcr.io'],
      ['Registry.Example.com:5000', 'registry.example.com:5000'], ['http://localhost:5000/', 'http://localhost:5000'], ['https://us-central1-docker.pkg.dev/project', 'https://us-central1-docker.pkg.dev/project'],
      ['[::1]:5000', '[::1]:5000'], ['registry.example.com:443', 'registry.example.com'],
    ] as const) {
      const reply = await create({ ...HUB, url: given });
      expect([reply.status, reply.body.url], given).toEqual([201, shown]);
      await control.call('DELETE', `/api/docker-registry/${reply.body.id}`);
    }
  });

  test('bad input is 400 with a sentence', async () => {
    const cases: ReadonlyArray<readonly [unknown, string]> = [
      [{}, 'name should not be empty, url should not be empty, username should not be empty'],
      [{ ...HUB, name: '<b>' }, 'name must not contain HTML tags'],
      [{ ...HUB, password: '' }, 'password should not be empty'], [{ ...HUB, password: undefined }, 'password should not be empty'],
      [{ ...HUB, password: 5 }, 'password must be a string'], [{ ...HUB, username: 'a:b' }, 'username must not contain ":"'], [{ ...HUB, username: 'a\nb' }, 'username must not contain control characters'],
      ...['', ' ', 'ftp://x', 'https://', 'a b', 'https://user:pw@host', 'https://host?x=1', 'https://host#x', '://', 'https://https://x', 'http:// x', '-', '../etc', '\\\\server'].map((bad) =>
        [{ ...HUB, url: bad }, bad === '' ? 'url should not be empty' : 'url must be the address of a registry, such as docker.io, ghcr.io or https://registry.example.com:5000'] as const),
      [{ ...HUB, username: 'arn:aws:iam::123456789012:role/puller' }, 'username may be an IAM role only for a registry of Amazon ECR (<account>.dkr.ecr.<region>.amazonaws.com)'],
      [{ ...HUB, password: 'x'.repeat(20_000) }, 'password must be shorter than or equal to 16384 characters'],
    ];
    for (const [json, message] of cases) {
      const reply = await create(json);
      expect([reply.status, reply.body.message], JSON.stringify(json).slice(0, 200)).toEqual([400, message]);
    }
  });

  test('a hundred and no more, also when they come at once', async () => {
    const replies = await Promise.all(Array.from({ length: 110 }, (_, i) => create({ ...HUB, name: `n${i}` }, { key: other.key })));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(100);
    const refused = replies.find(({ status }) => status !== 201)!;
    expect([refused.status, refused.body.message]).toEqual([400, 'An organization can have at most 100 registries; delete one first']);
    const list = await control.call('GET', '/api/docker-registry', { key: other.key });
    expect(Check(Type.Array(DockerRegistry), list.body)).toBe(true);
    expect(list.body).toHaveLength(100);
    for (const { id } of list.body) await control.call('DELETE', `/api/docker-registry/${id}`, { key: other.key });
  });
});

describe('one of them', () => {
  test('is read, changed and deleted; without a password the stored one stays', async () => {
    const { id } = (await create({ ...HUB, url: 'ghcr.io', project: 'p' })).body;
    const path = `/api/docker-registry/${id}`;
    expect((await control.call('GET', path)).body).toMatchObject({ id, url: 'ghcr.io' });
    const changed = await control.call('PATCH', path, { json: { name: 'Renamed', url: 'https://ghcr.io', username: 'you' } });
    expect([changed.status, changed.body]).toEqual([200, expect.objectContaining({ name: 'Renamed', url: 'https://ghcr.io', username: 'you', project: 'p' })]);
    expect(await auths().authFor(organizationId, 'ghcr.io')).toEqual({ host: 'ghcr.io', username: 'you', password: 'hub secret' });
    await control.call('PATCH', path, { json: { name: 'Renamed', url: 'ghcr.io', username: 'you', password: 'new', project: '' } });
    expect(await auths().authFor(organizationId, 'GHCR.io')).toMatchObject({ password: 'new' });
    expect((await control.call('GET', path)).body.project).toBe('');
    expect((await control.call('DELETE', path)).status).toBe(204);
    for (const method of ['GET', 'DELETE', 'PATCH']) {
      const gone = await control.call(method, path, method === 'PATCH' ? { json: HUB } : {});
      expect([gone.status, gone.body.message]).toEqual([404, `Docker registry with ID ${id} not found`]);
    }
    expect(await auths().authFor(organizationId, 'ghcr.io')).toBeNull();
  });

  test('does not take its password along to another host', async () => {
    const { id } = (await create({ ...HUB, url: 'quay.io' })).body;
    const path = `/api/docker-registry/${id}`;
    const moved = await control.call('PATCH', path, { json: { name: 'x', url: 'evil.example', username: 'me' } });
    expect([moved.status, moved.body.message]).toEqual([400, 'password should not be empty when the URL names another host']);
    expect((await control.call('PATCH', path, { json: { name: 'x', url: 'evil.example', username: 'me', password: 'theirs' } })).status).toBe(200);
    await control.call('DELETE', path);
  });

  test('is nobody else\'s: another organization gets 404 and no credentials', async () => {
    const { id } = (await create({ ...HUB, url: 'private.example' })).body;
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      expect((await control.call(method, `/api/docker-registry/${id}`, { key: other.key, ...(method === 'PATCH' ? { json: HUB } : {}) })).status).toBe(404);
    }
    expect((await control.call('POST', `/api/docker-registry/${id}/test-connection`, { key: other.key })).status).toBe(404);
    expect(await auths().authFor(other.id, 'private.example')).toBeNull();
    expect(await auths().authsFor(other.id)).toEqual([]);
    await control.call('DELETE', `/api/docker-registry/${id}`);
  });

  test('a password of another row, or written with another key, does not open', async () => {
    const first = (await create({ ...HUB, url: 'swap.example', password: 'one' })).body.id as string;
    const second = (await create({ ...HUB, url: 'swap2.example', password: 'two' })).body.id as string;
    const client = new pg.Client(url);
    await client.connect();
    await client.query('UPDATE docker_registries SET password = (SELECT password FROM docker_registries WHERE id = $1) WHERE id = $2', [second, first]);
    await client.end();
    await expect(auths().authFor(organizationId, 'swap.example')).rejects.toMatchObject({ statusCode: 400, message: 'The stored password of registry "Hub" cannot be read; set it again' });
    expect((await auths().authsFor(organizationId)).map(({ host }) => host)).not.toContain('swap.example');
    for (const id of [first, second]) await control.call('DELETE', `/api/docker-registry/${id}`);
  });

  test('ids that are none are 404', async () => {
    for (const id of ['x', '0', '%00x', encodeURIComponent('../..'), '00000000-0000-0000-0000-000000000000']) {
      expect([400, 404], id).toContain((await control.call('GET', `/api/docker-registry/${id}`)).status);
      expect([400, 404], id).toContain((await control.call('POST', `/api/admin/docker-registry/${id}/set-default`)).status);
    }
  });
});

describe('permissions', () => {
  test('writing, deleting and administering each want their own; reading wants membership', async () => {
    const { id } = (await create({ ...HUB, url: 'rights.example' })).body;
    const reader = await control.keyWith();
    const writer = await control.keyWith('write:registries');
    const deleter = await control.keyWith('delete:registries');
    const status = async (method: string, path: string, key: string | null, json?: unknown) => (await control.call(method, path, { key, ...(json ? { json } : {}) })).status;
    expect(await status('GET', '/api/docker-registry', null)).toBe(401);
    expect(await status('GET', '/api/docker-registry', reader)).toBe(200);
    expect(await status('GET', `/api/docker-registry/${id}`, reader)).toBe(200);
    for (const [method, path] of [['POST', '/api/docker-registry'], ['PATCH', `/api/docker-registry/${id}`], ['POST', '/api/docker-registry/test-connection'], ['POST', `/api/docker-registry/${id}/test-connection`]] as const) {
      expect(await status(method, path, reader, HUB), path).toBe(403);
      expect(await status(method, path, deleter, HUB), path).toBe(403);
    }
    expect(await status('PATCH', `/api/docker-registry/${id}`, writer, { ...HUB, url: 'rights.example' })).toBe(200);
    expect(await status('DELETE', `/api/docker-registry/${id}`, writer)).toBe(403);
    expect(await status('POST', `/api/admin/docker-registry/${id}/set-default`, other.key)).toBe(403);
    expect(await status('DELETE', `/api/docker-registry/${id}`, deleter)).toBe(204);
  });
});

test('of several for one host the default goes first, then the newest', async () => {
  const made: string[] = [];
  for (const username of ['old', 'middle', 'new']) made.push((await create({ ...HUB, url: 'many.example', username })).body.id as string);
  const who = async () => (await auths().authFor(organizationId, 'many.example'))?.username;
  expect(await who()).toBe('new');
  const set = await control.call('POST', `/api/admin/docker-registry/${made[0]}/set-default`);
  expect([set.status, set.body.id]).toEqual([200, made[0]]);
  expect(await who()).toBe('old');
  expect((await auths().authsFor(organizationId)).filter(({ host }) => host === 'many.example')).toEqual([expect.objectContaining({ username: 'old' })]);
  await control.call('POST', `/api/admin/docker-registry/${made[1]}/set-default`);
  expect(await who()).toBe('middle');
  expect((await rows()).filter((row) => row['is_default'])).toHaveLength(1);
  for (const id of made) await control.call('DELETE', `/api/docker-registry/${id}`);
});

describe('testing a connection', () => {
  let registry: Server;
  let host: string;
  let mode: 'token' | 'basic' | 'open' | 'shop' | 'endless' = 'token';
  const seen: string[] = [];
  beforeAll(async () => {
    registry = createServer((req, res) => {
      seen.push(`${req.method} ${req.url}`);
      const basic = `Basic ${Buffer.from('me:right').toString('base64')}`;
      const { authorization } = req.headers;
      if (mode === 'open') return void res.end('{}');
      if (mode === 'shop') return void res.writeHead(302, { location: `http://${host}/login` }).end();
      if (mode === 'endless') {
        const more = () => { while (res.write('x'.repeat(65_536))) if (res.destroyed) return; res.once('drain', more); };
        return more();
      }
      if (req.url?.startsWith('/token')) return void (authorization === basic ? res.end(JSON.stringify({ token: 'issued' })) : res.writeHead(401).end());
      if (authorization === (mode === 'token' ? 'Bearer issued' : basic)) return void res.end('{}');
      res.writeHead(401, { 'www-authenticate': mode === 'token' ? `Bearer realm="http://${host}/token",service="shop & co"` : 'Basic realm="x"' }).end();
    });
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
    host = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
  });
  afterAll(() => { registry?.closeAllConnections(); registry?.close(); });
  const check = async (json: Record<string, unknown>) => (await control.call('POST', '/api/docker-registry/test-connection', { json: { url: host, username: 'me', ...json } })).body;

  test('logs in by token or directly and says how it went', async () => {
    for (mode of ['token', 'basic'] as const) {
      expect(await check({ password: 'right' })).toEqual({ success: true, message: `Logged in to ${host} as me` });
      expect(await check({ password: 'wrong' })).toEqual({ success: false, message: `${host} does not take this user name and password` });
    }
    expect(seen).toContain('GET /token?service=shop+%26+co&account=me');
    mode = 'open';
    expect(await check({ password: 'x' })).toEqual({ success: true, message: `${host} answers and asks for no credentials` });
  });

  test('works with what is stored', async () => {
    mode = 'token';
    const { id } = (await create({ name: 'local', url: host, username: 'me', password: 'right' })).body;
    expect((await control.call('POST', `/api/docker-registry/${id}/test-connection`)).body).toMatchObject({ success: true });
    await control.call('DELETE', `/api/docker-registry/${id}`);
  });

  test('what is no registry, does not answer, or must not be asked fails with a sentence and in time', async () => {
    mode = 'shop';
    expect(await check({ password: 'x' })).toEqual({ success: false, message: `${host} is no registry: GET /v2/ answered 302, not 200 or 401` });
    mode = 'endless';
    expect(await check({ password: 'x' })).toEqual({ success: false, message: `${host} cannot be reached: its answer is too long` });
    expect(await check({ url: `https://${host}`, password: 'x' })).toMatchObject({ success: false, message: expect.stringMatching(/cannot be reached: /) });
    expect(await check({ url: '127.0.0.1:1', password: 'x' })).toEqual({ success: false, message: '127.0.0.1:1 cannot be reached: nothing listens there' });
    for (const url of ['169.254.169.254', 'http://169.254.169.254', 'http://[fe80::1]', 'http://[::ffff:169.254.169.254]']) {
      expect(await check({ url, password: 'x' }), url).toMatchObject({ success: false, message: expect.stringMatching(/link-local addresses are not asked/) });
    }
  });
});

describe('push access', () => {
  const get = (options: Call = {}, query = '') => control.call('GET', `/api/docker-registry/registry-push-access${query}`, options);

  test('names the host that the client used and the organization as project, for an hour', async () => {
    const before = Date.now();
    const reply = await get({ headers: { host: 'box.lan:3000' } });
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({ registryUrl: 'box.lan:3000', project: organizationId, username: expect.stringMatching(/^paddock-[0-9a-f]{12}$/), registryId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(Math.abs(Date.parse(reply.body.expiresAt) - before - 3_600_000)).toBeLessThan(60_000);
    const again = await get();
    expect([again.body.registryId, again.body.username === reply.body.username]).toEqual([reply.body.registryId, false]);
    for (const [host, shown] of [['localhost', 'localhost'], ['box', 'box:80'], ['1.2.3.4', '1.2.3.4'], ['BOX.Lan:80', 'box.lan'], ['evil" realm="x', 'localhost:3000'], ['host:99999', 'localhost:3000'], ['[::1]:3000', '[::1]:3000']] as const) {
      expect((await get({ headers: { host } })).body.registryUrl, host).toBe(shown);
    }
  });

  test('headers of a proxy count only when it is trusted', async () => {
    const headers = { host: 'inner:3000', 'x-forwarded-host': 'outer.example', 'x-forwarded-proto': 'https' };
    expect((await get({ headers })).body.registryUrl).toBe('inner:3000');
    const behind = await startTestControl(url, { config: { trustedProxies: ['127.0.0.1/32'] } });
    try {
      expect((await behind.call('GET', '/api/docker-registry/registry-push-access', { headers })).body.registryUrl).toBe('outer.example');
    } finally {
      await behind.close();
    }
  });

  test('wants write:snapshots or write:sandboxes, a region that exists, and an organization that is not suspended', async () => {
    expect((await get({ key: await control.keyWith('write:registries') })).status).toBe(403);
    for (const permission of ['write:snapshots', 'write:sandboxes']) expect((await get({ key: await control.keyWith(permission) })).status).toBe(200);
    expect((await get({}, '?regionId=us')).status).toBe(200);
    expect((await get({}, '?regionId=nowhere')).status).toBe(404);
    const client = new pg.Client(url);
    await client.connect();
    await client.query("UPDATE organizations SET suspended = true, suspension_reason = 'unpaid' WHERE id = $1", [other.id]);
    const suspended = await get({ key: other.key });
    await client.query('UPDATE organizations SET suspended = false WHERE id = $1', [other.id]);
    await client.end();
    expect([suspended.status, suspended.body.message]).toEqual([403, 'Organization is suspended: unpaid']);
  });
});

describe('references to our own registry', () => {
  const digest = `sha256:${createHash('sha256').digest('hex')}`;
  const access = (id: string, reference: string) => control.context.registry.pullAccess(id, reference);

  test('are recognised by every name a client may use and get the address and a credential for the runner', async () => {
    const address = `127.0.0.1:${control.context.config.port}`;
    for (const host of ['localhost:3000', address, 'whatever.lan:9000', 'box.example']) {
      for (const rest of [':v1', `@${digest}`, `:v1@${digest}`, '']) {
        const found = await access(organizationId, `${host}/${organizationId}/team/app${rest}`);
        expect(found, host).toMatchObject({ reference: `${address}/${organizationId}/team/app${rest}`, auth: { host: address } });
      }
    }
  });

  test('lead elsewhere when they do, and never to another organization', async () => {
    for (const reference of ['ubuntu:22.04', 'library/ubuntu:22.04', 'ghcr.io/a/b:c', `${organizationId}/app:v1`, 'localhost:3000/', '/x', '', 'localhost:3000/UPPER:v1']) expect(await access(organizationId, reference), reference).toBeNull();
    for (const reference of [`localhost:3000/${other.id}/app:v1`, `localhost:3000/library/ubuntu:v1`]) {
      await expect(access(organizationId, reference)).rejects.toMatchObject({ statusCode: 400, message: expect.stringContaining('not found') });
    }
    // Under a name we do not know it is somebody else's registry; it gets no credential of ours.
    expect(await access(organizationId, `whatever.lan:9000/${other.id}/app:v1`)).toBeNull();
  });
});

test('a stranger learns nothing', async () => {
  for (const path of ['/api/docker-registry', '/api/docker-registry/registry-push-access']) expect((await control.call('GET', path, { key: null })).status).toBe(401);
  expect(ADMIN_KEY).not.toBe(other.key);
});
