import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Labels, intervals, network, previews, signing keys and the small reads. */
let database: TestDatabase;
let plane: TestPlane;
let id: string;

beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
  id = (await plane.create()).id;
});
afterAll(async () => {
  await stopPlane(plane);
  await database.stop();
});

const post = (path: string, body?: unknown) => plane.call('POST', `/api/sandbox/${id}/${path}`, body);

test('labels are replaced as a whole and the sandbox is the answer', async () => {
  const reply = await plane.call('PUT', `/api/sandbox/${id}/labels`, { labels: { a: '1', b: '2' } });
  expect([reply.status, reply.body.id, reply.body.labels]).toEqual([200, id, { a: '1', b: '2' }]);
  expect((await plane.call('PUT', `/api/sandbox/${id}/labels`, { labels: { c: '3' } })).body.labels).toEqual({ c: '3' });
  expect((await plane.call('PUT', `/api/sandbox/${id}/labels`, {})).status).toBe(400);
});

test('intervals, with their codes and zeros', async () => {
  expect(await post('autostop/7').then(({ status, body }) => [status, body.autoStopInterval])).toEqual([200, 7]);
  expect(await post('autoarchive/0').then(({ body }) => body.autoArchiveInterval)).toBe(43_200);
  expect(await post('autodelete/-5').then(({ body }) => body.autoDeleteInterval)).toBe(-1);
  expect((await post('ttl/10')).body.autoDestroyAt).toMatch(/Z$/);
  expect((await post('ttl/0')).body.autoDestroyAt).toBeUndefined();
  for (const wrong of ['autostop/-1', 'autostop/x', 'autostop/1.5', 'autoarchive/-1', 'autodelete/x', 'ttl/-1', 'public/maybe', 'autostop/99999999999']) {
    expect((await post(wrong)).status, wrong).toBe(400);
  }
  expect((await post('public/true')).body.public).toBe(true);
});

test('preview URLs: standard, signed, expired', async () => {
  const standard = (await plane.call('GET', `/api/sandbox/${id}/ports/3000/preview-url`)).body;
  expect(standard).toEqual({ sandboxId: id, url: `http://3000-${id}.localhost:3000`, token: expect.stringMatching(/^[a-z0-9]{32}$/) });
  const signed = (await plane.call('GET', `/api/sandbox/${id}/ports/3000/signed-preview-url?expiresInSeconds=5`)).body;
  expect(signed).toMatchObject({ sandboxId: id, port: 3000, token: expect.stringMatching(/^[a-z0-9]{16}$/), url: `http://3000-${signed.token}.localhost:3000` });
  const { gatewayBackend } = plane.plane;
  expect(await gatewayBackend.signedPreview(signed.token, 3000)).toEqual({ sandboxId: id, expired: false });
  expect(await gatewayBackend.signedPreview(signed.token, 3001)).toBeNull();
  expect((await post(`ports/3000/signed-preview-url/${signed.token}/expire`)).status).toBe(200);
  expect(await gatewayBackend.signedPreview(signed.token, 3000)).toBeNull();
  for (const path of ['ports/0/preview-url', 'ports/65536/preview-url', 'ports/x/preview-url', 'ports/80/signed-preview-url?expiresInSeconds=0', 'ports/80/signed-preview-url?expiresInSeconds=86401']) {
    expect((await plane.call('GET', `/api/sandbox/${id}/${path}`)).status, path).toBe(400);
  }
});

test('the signing key is bare text, stays the same until rotated, and reaches the gateway', async () => {
  const first = await plane.call('GET', `/api/sandbox/${id}/signing-key`);
  expect(first.headers['content-type']).toMatch(/^text\/plain/);
  expect(first.body).toBeUndefined(); // no JSON document
  expect((await plane.call('GET', `/api/sandbox/${id}/signing-key`)).text).toBe(first.text);
  const rotated = await post('signing-key/rotate');
  expect(rotated.text).not.toBe(first.text);
  expect((await plane.plane.gatewayBackend.sandbox(id))?.signingKey).toBe(rotated.text);
});

test('network settings reach the runner and exclude each other', async () => {
  const settings = (body: unknown) => post('network-settings', body);
  expect((await settings({ networkAllowList: '10.0.0.0/8,192.0.2.0/24' })).body).toMatchObject({ networkBlockAll: false, networkAllowList: '10.0.0.0/8,192.0.2.0/24' });
  expect(plane.runner.sandboxes.get(id)?.spec.network).toEqual({ blockAll: false, allowList: ['10.0.0.0/8', '192.0.2.0/24'] });
  expect((await settings({ networkBlockAll: true })).body).toMatchObject({ networkBlockAll: true });
  expect(plane.runner.sandboxes.get(id)?.spec.network).toEqual({ blockAll: true, allowList: null });
  expect((await settings({ networkAllowList: '' })).body.networkAllowList).toBeUndefined();
  expect((await settings({ networkBlockAll: false })).body.networkBlockAll).toBe(false);
  for (const wrong of [{}, { networkBlockAll: null }, { networkAllowList: null }, { networkAllowList: 'x' }, { networkAllowList: '10.0.0.0' }]) {
    expect((await settings(wrong)).status, JSON.stringify(wrong)).toBe(400);
  }
  expect((await settings({ domainAllowList: 'example.com' })).status).toBe(501);
  plane.runner.failNext.PATCH = 'INTERNAL';
  expect((await settings({ networkBlockAll: true })).status).toBe(503);
  expect((await plane.call('GET', `/api/sandbox/${id}`)).body.networkBlockAll).toBe(false);
});

test('last activity answers 201 with nothing and is seen at once', async () => {
  const before = (await plane.call('GET', `/api/sandbox/${id}`)).body.lastActivityAt;
  await new Promise((resolve) => setTimeout(resolve, 5));
  const reply = await post('last-activity');
  expect([reply.status, reply.text]).toEqual([201, '']);
  expect((await plane.call('GET', `/api/sandbox/${id}`)).body.lastActivityAt > before).toBe(true);
});

test('small reads and what does not exist', async () => {
  const get = async (path: string) => { const { status, body } = await plane.call('GET', `/api/sandbox/${id}/${path}`); return [status, body]; };
  expect(await get('toolbox-proxy-url')).toEqual([200, { url: 'http://localhost:3000/toolbox' }]);
  expect(await get('forks')).toEqual([200, []]);
  expect(await get('ancestors')).toEqual([200, []]);
  expect((await get('parent'))[0]).toBe(404);
  expect((await get('build-logs-url'))[0]).toBe(404);
  expect((await get('build-logs'))[0]).toBe(404);
  expect(await get('telemetry/metrics?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z')).toEqual([200, { series: [] }]);
  for (const operation of ['pause', 'fork']) expect((await post(operation, {})).status, operation).toBe(501);
  const usage = (await plane.call('GET', `/api/organizations/${(await plane.call('GET', `/api/sandbox/${id}`)).body.organizationId}/usage`)).body;
  expect(usage.regionUsage[0]).toMatchObject({ regionId: 'us', currentCpuUsage: 1, currentMemoryUsage: 1, currentDiskUsage: 3, totalCpuQuota: 2 });
});

test('the gateway sees a change as soon as the API has answered', async () => {
  const { gatewayBackend } = plane.plane;
  const changed: string[] = [];
  const unsubscribe = gatewayBackend.onSandboxChanged((changedId) => void changed.push(changedId));
  expect(await gatewayBackend.sandbox(id)).toMatchObject({ id, state: 'started', public: true });
  await post('public/false');
  expect(gatewayBackend.sandbox(id)).toMatchObject({ public: false });
  await post('stop');
  expect(gatewayBackend.sandbox(id)).toMatchObject({ state: 'stopped' });
  await plane.call('DELETE', `/api/sandbox/${id}`);
  await until(async () => (await gatewayBackend.sandbox(id)) === null, 'it is gone for the gateway');
  expect(changed).toContain(id);
  unsubscribe();
});
