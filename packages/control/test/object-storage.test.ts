import { StorageAccess } from '@paddock/contract';
import { Check } from 'typebox/value';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

let database: TestDatabase;
let control: TestControl;
let organizationId: string;
beforeAll(async () => {
  database = await startTestDatabase();
  control = await startTestControl(await database.create(), { config: { trustedProxies: ['127.0.0.2/32'], publicUrl: 'https://paddock.example' } });
  organizationId = (await control.call('GET', '/api/organizations')).body[0].id;
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

const access = async (headers: Record<string, string> = {}) => (await control.call('GET', '/api/object-storage/push-access', { headers })).body as StorageAccess;

test('push access names the bucket, the prefix and the address the client used', async () => {
  const reply = await control.call('GET', '/api/object-storage/push-access');
  expect(reply.status).toBe(200);
  expect(Check(StorageAccess, reply.body)).toBe(true);
  expect(reply.body).toMatchObject({ organizationId, bucket: 'daytona-volume-builds', region: 'us-east-1', storageUrl: `http://127.0.0.1:${control.port}` });
  expect(reply.body.sessionToken).not.toBe('');
  expect((await access({ host: 'box.lan:8080' })).storageUrl).toBe('http://box.lan:8080');
  expect((await access({ host: 'paddock.example' })).storageUrl).toBe('https://paddock.example');
  // Not from a trusted proxy: what it says counts for nothing.
  expect((await access({ host: 'box.lan', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' })).storageUrl).toBe('http://box.lan');
});

test('push access needs the right to make snapshots or sandboxes', async () => {
  for (const [permission, status] of [['write:snapshots', 200], ['write:sandboxes', 200], ['delete:sandboxes', 403]] as const) {
    expect((await control.call('GET', '/api/object-storage/push-access', { key: await control.keyWith(permission) })).status, permission).toBe(status);
  }
  expect((await control.call('GET', '/api/object-storage/push-access', { key: null })).status).toBe(401);
});
