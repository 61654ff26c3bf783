import { ApiKeyList, ApiKeyResponse, PERMISSIONS } from '@paddock/contract';
import pg from 'pg';
import { Check } from 'typebox/value';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN_KEY, startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

let database: TestDatabase;
let url: string;
let control: TestControl;
let manager: string;
beforeAll(async () => {
  database = await startTestDatabase();
  url = await database.create();
  control = await startTestControl(url);
  manager = await control.keyWith('manage:api_keys', 'write:sandboxes');
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

const create = (json: unknown, key = ADMIN_KEY) => control.call('POST', '/api/api-keys', { json, key });

async function sql(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query(text, values);
  await client.end();
  return rows as Record<string, unknown>[];
}

describe('creating', () => {
  test('answers 201 with the key, which is shown this once and kept as a hash only', async () => {
    const reply = await create({ name: 'first', permissions: ['write:sandboxes', 'write:sandboxes'], future: true });
    expect(reply.status).toBe(201);
    expect(Check(ApiKeyResponse, reply.body)).toBe(true);
    expect(reply.body).toMatchObject({ name: 'first', permissions: ['write:sandboxes'], expiresAt: null });
    expect(reply.body.value).toMatch(/^dtn_[0-9a-f]{64}$/);
    const rows = await sql('SELECT * FROM api_keys WHERE name = $1', ['first']);
    expect(JSON.stringify(rows)).not.toContain(reply.body.value.slice(4, 40));
    expect((await control.call('GET', '/api/users/me', { key: reply.body.value })).status).toBe(200);
  });

  test('a taken name is 409', async () => {
    await create({ name: 'twice', permissions: [] });
    const reply = await create({ name: 'twice', permissions: [] });
    expect(reply.status).toBe(409);
    expect(reply.body.message).toBe('API key with name twice already exists');
  });

  test('bad input is 400 with a sentence', async () => {
    const cases: ReadonlyArray<readonly [unknown, string]> = [
      [{}, 'name should not be empty, permissions should not be empty'],
      [{ name: '', permissions: [] }, 'name should not be empty'],
      [{ name: '   ', permissions: [] }, 'name should not be empty'],
      [{ name: 5, permissions: [] }, 'name must be a string'],
      [{ name: '<b>x</b>', permissions: [] }, 'name must not contain HTML tags'],
      [{ name: 'see https://x.test', permissions: [] }, 'name must not contain URLs'],
      [{ name: 'a\nb', permissions: [] }, 'name must not contain control characters'],
      [{ name: 'x'.repeat(256), permissions: [] }, 'name must be shorter than or equal to 255 characters'],
      [{ name: 'x', permissions: 'write:sandboxes' }, 'permissions must be an array'],
      [{ name: 'x', permissions: ['fly'] }, `permissions.0 must be one of the following values: ${PERMISSIONS.join(', ')}`],
      [{ name: 'x', permissions: [], expiresAt: 'tomorrow' }, 'expiresAt must be a valid ISO 8601 date string'],
    ];
    for (const [json, message] of cases) {
      const reply = await create(json);
      expect(reply.status, reply.text).toBe(400);
      expect(reply.body.message).toBe(message);
    }
  });

  test('null for an optional field is as good as none', async () => {
    const reply = await create({ name: 'null-expiry', permissions: [], expiresAt: null });
    expect(reply.body.expiresAt).toBeNull();
  });

  test('names may hold anything that can be displayed', async () => {
    for (const name of ['ключ 🔑', 'a/b', 'per%cent', "it's", 'a?b#c']) {
      expect((await create({ name, permissions: [] })).status, name).toBe(201);
      const path = `/api/api-keys/${encodeURIComponent(name)}`;
      expect((await control.call('GET', path)).body.name).toBe(name);
      expect((await control.call('DELETE', path)).status).toBe(204);
    }
  });

  test('a key cannot give what it does not hold', async () => {
    const reply = await create({ name: 'excess', permissions: ['write:sandboxes', 'delete:sandboxes'] }, manager);
    expect(reply.status).toBe(403);
    expect(reply.body.message).toContain('delete:sandboxes');
    expect(reply.body.message).not.toContain('write:sandboxes');
    expect((await create({ name: 'within', permissions: ['write:sandboxes'] }, manager)).status).toBe(201);
  });
});

describe('reading', () => {
  test('the list shows masked values, last used first', async () => {
    const reply = await control.call('GET', '/api/api-keys');
    expect(reply.status).toBe(200);
    for (const key of reply.body) {
      expect(Check(ApiKeyList, key)).toBe(true);
      expect(key.value).toMatch(/^.{3}\*{20}.{3}$/);
      expect(key.userId).toBe('daytona-admin');
    }
    expect(reply.body.map((key: { name: string }) => key.name)).toContain('first');
  });

  test('a key can look at itself without any permission', async () => {
    const key = await control.keyWith();
    const reply = await control.call('GET', '/api/api-keys/current', { key });
    expect(reply.status).toBe(200);
    expect(reply.body.value).toBe(`dtn${'*'.repeat(20)}${key.slice(-3)}`);
    expect(reply.body.permissions).toEqual([]);
  });

  test('an unknown name is 404', async () => {
    const reply = await control.call('GET', '/api/api-keys/unheard');
    expect(reply.status).toBe(404);
    expect(reply.body.message).toBe('API key with name unheard not found');
  });
});

describe('deleting', () => {
  test('by name and by user, 204 without a body; the second time 404', async () => {
    for (const [name, path] of [['gone-1', '/api/api-keys/gone-1'], ['gone-2', '/api/api-keys/daytona-admin/gone-2']] as const) {
      await create({ name, permissions: [] });
      const reply = await control.call('DELETE', path);
      expect(reply.status).toBe(204);
      expect(reply.text).toBe('');
      expect((await control.call('DELETE', path)).status).toBe(404);
    }
    expect((await control.call('DELETE', '/api/api-keys/nobody/gone-1')).status).toBe(404);
  });
});

test('without manage:api_keys nothing is managed', async () => {
  const key = await control.keyWith('write:sandboxes');
  for (const [method, path] of [['GET', '/api/api-keys'], ['GET', '/api/api-keys/first'], ['DELETE', '/api/api-keys/first'], ['DELETE', '/api/api-keys/daytona-admin/first']] as const) {
    expect((await control.call(method, path, { key })).status, `${method} ${path}`).toBe(403);
  }
  expect((await create({ name: 'x', permissions: [] }, key)).status).toBe(403);
});

test('a member sees and deletes only its own keys and cannot give more than the key it uses holds', async () => {
  const [organization] = await sql('SELECT id FROM organizations');
  await sql("INSERT INTO users (id, name, email) VALUES ('member', 'Member', 'member@test.invalid')");
  await sql("INSERT INTO organization_users (organization_id, user_id, role) VALUES ($1, 'member', 'member')", [organization!.id]);
  const { value } = (await create({ name: 'for-member', permissions: ['manage:api_keys'] })).body;
  await sql("UPDATE api_keys SET user_id = 'member' WHERE name = 'for-member'");
  const list = await control.call('GET', '/api/api-keys', { key: value });
  expect(list.body.map((key: { userId: string }) => key.userId)).toEqual(['member']);
  const reply = await control.call('DELETE', '/api/api-keys/daytona-admin/first', { key: value });
  expect(reply.status).toBe(403);
  expect((await create({ name: 'own', permissions: [] }, value)).status).toBe(201);
  expect((await control.call('DELETE', '/api/api-keys/member/own')).status).toBe(204);
  expect((await control.call('GET', '/api/health/ready', { key: value })).status).toBe(403);
});
