import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, type TestPlane } from './sandbox-support.ts';
import { ADMIN_KEY, startTestDatabase, type TestDatabase } from './support.ts';

let database: TestDatabase;
let plane: TestPlane;
let organizationId: string;
beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
  organizationId = (await plane.call('GET', '/api/organizations')).body[0].id;
});
afterAll(async () => {
  await plane?.close();
  await database?.stop();
});

const text = fc.oneof(
  fc.string(), fc.string({ unit: 'binary' }),
  fc.constantFrom('', '0', '-1', '1e400', 'NaN', 'null', 'true', '%', '_', '\0', '\ud800', '../..', "'; drop table sandboxes; --", '__proto__', '2280', '99999999999999999999',
    '00000000-0000-0000-0000-000000000000', '9999-12-31T23:59:59.999Z', '+275760-09-13T00:00:00.000Z', '-000001-01-01T00:00:00Z', '{"a":', '{"a":"b"}', '[]', 'x'.repeat(3000)),
);
const segment = text.map((value) => encodeURIComponent(value.toWellFormed())).filter((value) => value !== '' && value !== '.' && value !== '..');
const json = fc.oneof(fc.jsonValue(), text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer());

const NAMES = ['name', 'permissions', 'expiresAt', 'snapshot', 'target', 'user', 'env', 'labels', 'public', 'cpu', 'memory', 'autoStopInterval', 'autoArchiveInterval', 'autoDeleteInterval',
  'ttlMinutes', 'networkBlockAll', 'networkAllowList', 'volumes', 'buildInfo', 'secrets', 'gpuType', 'url', 'username', 'password', 'project'];
const QUERY = ['page', 'limit', 'sort', 'order', 'name', 'cursor', 'labels', 'states', 'snapshots', 'regionIds', 'minCpu', 'maxDiskGiB', 'isPublic', 'createdAtAfter', 'lastEventBefore',
  'autoDestroyAtBefore', 'sourceSandboxId', 'id', 'force', 'expiresInSeconds', 'includeErroredDeleted', 'sandboxClasses'];

const path = fc.oneof(
  fc.constantFrom('/snapshots', '/sandbox', '/sandbox/paginated', '/api-keys', '/regions', '/users/me', '/organizations', '/docker-registry', '/docker-registry/registry-push-access'),
  fc.tuple(fc.constantFrom('/snapshots/', '/sandbox/', '/api-keys/', '/regions/', '/docker-registry/', '/organizations/', '/organizations/ORG/', '/nothing/'), segment).map(([base, last]) => base + last),
  fc.tuple(segment, fc.constantFrom('/ports/3000/preview-url', '/ports/3000/signed-preview-url', '/toolbox-proxy-url', '/signing-key', '/build-logs-url', '/start', '/stop', '/labels', '/network-settings'))
    .map(([id, tail]) => `/sandbox/${id}${tail}`),
  fc.tuple(segment, segment).map(([id, port]) => `/sandbox/${id}/ports/${port}/preview-url`),
  fc.tuple(segment, segment).map(([id, minutes]) => `/sandbox/${id}/autostop/${minutes}`),
);
const query = fc.array(fc.tuple(fc.constantFrom(...QUERY), fc.constantFrom('', '[]', '[0]'), text), { maxLength: 4 })
  .map((pairs) => pairs.map(([key, suffix, value]) => `${key}${suffix}=${encodeURIComponent(value.toWellFormed())}`).join('&'));
const body = fc.option(fc.oneof(json, fc.array(fc.tuple(fc.constantFrom(...NAMES), json), { maxLength: 5 }).map((pairs) => Object.fromEntries(pairs))), { nil: undefined });

test('whatever a client sends, the answer is no 500 and errors come in the envelope', async () => {
  await fc.assert(fc.asyncProperty(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH'), path, query, body, async (method, route, search, payload) => {
    const url = `/api${route.replace('ORG', organizationId)}?${search}`;
    // The admin's own key must outlive the test.
    if (method === 'DELETE' && route.startsWith('/api-keys')) return;
    const reply = await plane.call(method, url, method === 'GET' ? undefined : payload, ADMIN_KEY);
    expect(reply.status, `${method} ${url} ${JSON.stringify(payload)} → ${reply.text}`).not.toBe(500);
    if (reply.status >= 400) expect(reply.body).toMatchObject({ statusCode: reply.status, message: expect.any(String), error: expect.any(String), source: 'DAYTONA_API' });
  }), { numRuns: Number(process.env.PADDOCK_FUZZ_RUNS ?? 400) });
});
