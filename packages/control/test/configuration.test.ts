import { ConfigurationDto } from '@paddock/contract';
import { Check } from 'typebox/value';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

let database: TestDatabase;
let control: TestControl;
beforeAll(async () => {
  database = await startTestDatabase();
  control = await startTestControl(await database.create());
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

test('the configuration needs no credential and holds every field clients require', async () => {
  const reply = await control.call('GET', '/api/config', { key: null });
  expect(reply.status).toBe(200);
  expect(Check(ConfigurationDto, reply.body)).toBe(true);
  expect(reply.body).toMatchObject({
    proxyTemplateUrl: 'http://{{PORT}}-{{sandboxId}}.localhost:3000',
    proxyToolboxUrl: 'http://localhost:3000/toolbox',
    defaultSnapshot: 'daytona-small',
    maxAutoArchiveInterval: 43200,
    maintananceMode: false,
  });
  expect(reply.body).not.toHaveProperty('analyticsApiUrl');
});

test('every reply names the API version, also the errors', async () => {
  for (const path of ['/api/config', '/api/users/me', '/api/nothing', '/api/%zz', '/']) {
    const reply = await control.call('GET', path, { key: null });
    expect(reply.headers['x-daytona-api-version'], path).toBe('0.190.0');
  }
});
