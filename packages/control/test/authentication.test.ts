import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DOMAINS, type Domain } from '@paddock/control';
import { ADMIN_KEY, HEALTH_KEY, startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

const guarded: Domain = (api) => {
  api.get('/guarded/member', {}, async () => ({ ok: true }));
  api.get('/guarded/all', { config: { access: { requires: ['write:sandboxes', 'delete:sandboxes'] } } }, async () => ({ ok: true }));
  api.get('/guarded/any', { config: { access: { anyOf: ['write:sandboxes', 'write:snapshots'] } } }, async () => ({ ok: true }));
  api.get('/guarded/admin', { config: { access: { admin: true } } }, async () => ({ ok: true }));
};

let database: TestDatabase;
let url: string;
let control: TestControl;
beforeAll(async () => {
  database = await startTestDatabase();
  url = await database.create();
  control = await startTestControl(url, { domains: [guarded, ...DOMAINS] });
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

const status = async (path: string, key: string | null) => (await control.call('GET', `/api${path}`, { key })).status;

describe('credentials', () => {
  test('missing, malformed, unknown and JWT ones look the same: 401', async () => {
    const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln';
    for (const authorization of [undefined, '', 'Bearer', 'Bearer ', `Basic ${ADMIN_KEY}`, ADMIN_KEY, 'Bearer dtn_unknown', `Bearer ${ADMIN_KEY} x`, `Bearer ${jwt}`, `Bearer ${'x'.repeat(10_000)}`]) {
      const reply = await control.call('GET', '/api/users/me', { key: null, headers: authorization === undefined ? {} : { authorization } });
      expect(reply.status, authorization).toBe(401);
      expect(reply.body).toMatchObject({ statusCode: 401, error: 'Unauthorized', message: 'Invalid credentials', source: 'DAYTONA_API' });
    }
  });

  test('the scheme may have any case', async () => {
    expect((await control.call('GET', '/api/users/me', { key: null, headers: { authorization: `bearer ${ADMIN_KEY}` } })).status).toBe(200);
  });

  test('the credential is checked before the body is read', async () => {
    const reply = await control.call('POST', '/api/api-keys', { key: null, raw: '{', headers: { 'content-type': 'application/json' } });
    expect(reply.status).toBe(401);
  });

  test('an API key decides its organization, whatever the header says', async () => {
    const reply = await control.call('GET', '/api/organizations', { headers: { 'x-daytona-organization-id': '11111111-1111-4111-8111-111111111111' } });
    expect(reply.status).toBe(200);
    expect(reply.body).toHaveLength(1);
  });
});

describe('permissions', () => {
  test('a key can do what it holds and nothing else, although its user is owner and admin', async () => {
    const none = await control.keyWith();
    const one = await control.keyWith('write:sandboxes');
    const both = await control.keyWith('write:sandboxes', 'delete:sandboxes');
    expect([await status('/guarded/member', none), await status('/guarded/all', none), await status('/guarded/any', none)]).toEqual([200, 403, 403]);
    expect([await status('/guarded/member', one), await status('/guarded/all', one), await status('/guarded/any', one)]).toEqual([200, 403, 200]);
    expect(await status('/guarded/all', both)).toBe(200);
  });

  test('refusals say "Access denied"', async () => {
    const reply = await control.call('GET', '/api/guarded/all', { key: await control.keyWith() });
    expect(reply.body).toMatchObject({ statusCode: 403, error: 'Forbidden', message: 'Access denied' });
  });

  test('admin routes ask for the system role', async () => {
    expect(await status('/guarded/admin', ADMIN_KEY)).toBe(200);
  });

  test('another organization in the path is the wrong context', async () => {
    const reply = await control.call('GET', '/api/organizations/11111111-1111-4111-8111-111111111111');
    expect(reply.status).toBe(403);
    expect(reply.body.message).toBe('Invalid authentication context');
    expect((await control.call('GET', '/api/organizations/not-an-id/usage')).status).toBe(403);
  });
});

describe('the health key', () => {
  test('opens readiness only', async () => {
    expect(await status('/health/ready', HEALTH_KEY)).toBe(200);
    expect(await status('/health/ready', ADMIN_KEY)).toBe(200);
    expect(await status('/health/ready', null)).toBe(401);
    const reply = await control.call('GET', '/api/users/me', { key: HEALTH_KEY });
    expect(reply.status).toBe(403);
    expect(reply.body.message).toBe('Invalid authentication context');
  });
});

describe('revocation', () => {
  test('a deleted key is refused at once, here and in every other control plane', async () => {
    const other = await startTestControl(url);
    try {
      const key = await control.keyWith();
      expect(await status('/users/me', key)).toBe(200);
      expect((await other.call('GET', '/api/users/me', { key })).status).toBe(200);
      const { name } = (await control.call('GET', '/api/api-keys/current', { key })).body;
      expect((await control.call('DELETE', `/api/api-keys/${name}`)).status).toBe(204);
      expect(await status('/users/me', key)).toBe(401);
      // The announcement travels with the commit; a millisecond or two, never the ten seconds of the cache.
      await expect.poll(async () => (await other.call('GET', '/api/users/me', { key })).status, { timeout: 1000, interval: 5 }).toBe(401);
    } finally {
      await other.close();
    }
  });

  test('an expired key is refused although it is remembered', async () => {
    const expiresAt = new Date(Date.now() + 700).toISOString();
    const { value } = (await control.call('POST', '/api/api-keys', { json: { name: 'short', permissions: [], expiresAt } })).body;
    expect(await status('/users/me', value)).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await status('/users/me', value)).toBe(401);
  });
});

test('last use is recorded, off the path of the request', async () => {
  const key = await control.keyWith();
  expect((await control.call('GET', '/api/api-keys/current', { key })).body.lastUsedAt).toBeNull();
  await control.context.auth.close();
  await control.context.auth.start();
  const { lastUsedAt } = (await control.call('GET', '/api/api-keys/current', { key })).body;
  expect(Date.parse(lastUsedAt)).toBeGreaterThan(Date.now() - 60_000);
});
