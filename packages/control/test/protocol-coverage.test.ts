import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPlane, type TestPlane } from './sandbox-support.ts';
import { startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

/** The protocol's own description is no part of this repository; the walk runs where it lies beside it. */
const SPEC = process.env.PADDOCK_PROTOCOL_SPEC ?? join(import.meta.dirname, '../../../../shared/specs/control-plane.openapi.json');

let database: TestDatabase;
let control: TestControl;
let plane: TestPlane;
beforeAll(async () => {
  database = await startTestDatabase();
  control = await startTestControl(await database.create());
  plane = await startPlane(await database.create());
});
afterAll(async () => {
  await plane?.close();
  await control?.close();
  await database?.stop();
});

test.skipIf(!existsSync(SPEC))('every operation of the protocol is known: it wants a credential, and with one it answers in the envelope', async () => {
  const spec = JSON.parse(readFileSync(SPEC, 'utf8')) as { paths: Record<string, Record<string, { operationId: string; security?: unknown }>> };
  const call = (method: string, url: string, json: unknown, key?: string) => plane.call(method, url, json, key);
  const organizationId = (await call('GET', '/api/organizations', undefined)).body[0].id as string;
  const unknown: string[] = [];
  let operations = 0;
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, { operationId, security }] of Object.entries(methods)) {
      operations++;
      const url = `/api${path.replace('{organizationId}', organizationId).replace(/\{(\w+)\}/g, 'x')}`;
      const label = `${method.toUpperCase()} ${path} ${operationId}`;
      const stranger = await call(method.toUpperCase(), url, undefined, 'none');
      if (stranger.status === 404 && /^Cannot /.test(stranger.body?.message)) unknown.push(label);
      else if (security) expect(stranger.status, label).toBe(401);
      const reply = await call(method.toUpperCase(), url, method === 'get' ? undefined : { nonsense: 1 });
      if (reply.status >= 400) expect(reply.body, label).toMatchObject({ statusCode: reply.status, source: 'DAYTONA_API' });
      expect(reply.status, `${label} ${reply.text}`).not.toBe(500);
      if (reply.status === 501) expect(reply.body.message).toMatch(/not implemented by this server yet$/);
    }
  }
  expect(operations).toBeGreaterThan(180);
  expect(unknown).toEqual([]);
});

describe('the description of the API', () => {
  test('is JSON at /api-json and a page at /api, both without a credential', async () => {
    const document = await control.call('GET', '/api-json', { key: null });
    expect(document.status).toBe(200);
    expect(document.body.openapi).toMatch(/^3\./);
    expect(document.body.paths['/api/api-keys'].post).toMatchObject({ operationId: 'createApiKey', security: [{ bearer: [] }] });
    expect(document.body.paths['/api/config'].get).not.toHaveProperty('security');
    const page = await control.call('GET', '/api', { key: null });
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toContain('text/html');
    for (const asset of page.text.matchAll(/(?:src|href)="([^"]+)"/g)) {
      const reply = await control.call('GET', asset[1]!, { key: null });
      expect(reply.status, asset[1]).toBe(200);
      expect(reply.text.length).toBeGreaterThan(10_000);
    }
  });

  test('operation ids are unique', async () => {
    const { paths } = (await control.call('GET', '/api-json')).body as { paths: Record<string, Record<string, { operationId?: string }>> };
    const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId)).filter(Boolean);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
