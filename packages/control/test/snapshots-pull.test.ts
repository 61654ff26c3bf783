import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestDatabase, type TestDatabase } from './support.ts';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { digestOf, imageOf, ordered, published, snapshotState, untilOrdered, untilSnapshot } from './images-support.ts';

/** Snapshots of what registries have: looked up, pulled, shared, dropped. */
let database: TestDatabase;
let plane: TestPlane;
beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
});
afterAll(async () => {
  if (plane) await stopPlane(plane);
  await database?.stop();
});

const create = (body: object) => plane.call('POST', '/api/snapshots', body);
const image = imageOf;
const ready = (n: number, more: object = {}) => plane.runner.settle(image(n), { state: 'ready', ...more });

test('pending, pulling, active: the digest is what the runner pulls, with the config that the image has', async () => {
  published(plane, 'python:3.12', 1, 2 * 1024 ** 3);
  const created = await create({ name: 'py', imageName: 'python:3.12', cpu: 2, memory: 4, disk: 8 });
  expect(created.status).toBe(200);
  expect(created.body).toMatchObject({
    name: 'py', imageName: 'python:3.12', state: 'pending', size: null, entrypoint: null, cpu: 2, mem: 4, disk: 8, gpu: 0, general: false, errorReason: null,
    regionIds: ['us'], sandboxClass: 'container', sourceSandboxId: null, lastUsedAt: null,
  });
  await untilSnapshot(plane, 'py', 'pulling');
  await until(() => plane.runner.sources.has(image(1)), 'the image is ordered');
  expect(plane.runner.sources.get(image(1))).toEqual({ kind: 'registry', reference: `docker.io/library/python@${digestOf(1)}`, auth: null });
  expect((await create({ name: 'x', imageName: 'python:3.12' })).status).toBe(200);
  ready(1, { sizeBytes: 3 * 1024 ** 3, config: { entrypoint: ['/entry'], cmd: ['bash'], workDir: '/w', user: 'app' } });
  await untilSnapshot(plane, 'py', 'active');
  await untilSnapshot(plane, 'x', 'active');
  expect((await plane.call('GET', '/api/snapshots/py')).body).toMatchObject({ size: 3, entrypoint: ['/entry'], ref: `docker.io/library/python@${digestOf(1)}` });
  expect(plane.runner.count(`PUT ${image(1)}`)).toBe(1);

  const sandbox = await plane.create({ snapshot: 'py' });
  expect(sandbox).toMatchObject({ state: 'started', snapshot: 'py', cpu: 2, memory: 4, disk: 8, user: 'app' });
  expect(plane.runner.sandboxes.get(sandbox.id)?.spec).toMatchObject({ image: image(1), user: null, entrypoint: ['/entry'] });
  const other = await plane.create({ snapshot: 'py', user: 'root' });
  expect(plane.runner.sandboxes.get(other.id)?.spec.user).toBe('root');
});

test('an image that is used is kept; the last one to go takes it along', async () => {
  published(plane, 'debian:13', 2);
  await create({ name: 'a', imageName: 'debian:13' });
  await create({ name: 'b', imageName: 'debian:13' });
  await untilOrdered(plane, 'registry', 2);
  ready(2);
  await untilSnapshot(plane, 'a', 'active');
  await untilSnapshot(plane, 'b', 'active');
  const sandbox = await plane.create({ snapshot: 'b' });
  for (const name of ['a', 'b']) {
    const removed = await plane.call('DELETE', `/api/snapshots/${name}`);
    expect([removed.status, removed.text]).toEqual([200, '']);
    expect(await snapshotState(plane, name)).toBe('gone');
  }
  expect(await plane.state(sandbox.id)).toBe('started');
  expect(plane.runner.count(`DELETE ${image(2)}`)).toBe(0);
  await plane.call('DELETE', `/api/sandbox/${sandbox.id}`);
  await until(() => plane.runner.count(`DELETE ${image(2)}`) > 0, 'the image is removed');
  await until(async () => (await plane.context.images.get(image(2))) === null, 'its row is gone');
});

test('a name can be used again as soon as the delete has answered, also while it is pulled', async () => {
  published(plane, 'again:1', 3);
  for (let round = 0; round < 3; round++) {
    expect((await create({ name: 'again', imageName: 'again:1' })).status).toBe(200);
    if (round === 1) await untilSnapshot(plane, 'again', 'pulling');
    expect((await plane.call('DELETE', '/api/snapshots/again')).status).toBe(200);
  }
  await create({ name: 'again', imageName: 'again:1' });
  await until(async () => (await plane.context.images.get(image(3)))?.state === 'preparing' && plane.runner.images.some(({ name }) => name === image(3)), 'it is pulled once more');
  ready(3);
  await untilSnapshot(plane, 'again', 'active');
});

test('an image that is wanted while the unused ones are looked for stays, however the two meet', async () => {
  published(plane, 'met:1', 78);
  await create({ name: 'met', imageName: 'met:1' });
  await until(() => plane.runner.sources.has(image(78)), 'it is ordered');
  ready(78);
  await untilSnapshot(plane, 'met', 'active');
  const { db, images } = plane.context;
  const { organizationId, ref } = (await plane.call('GET', '/api/snapshots/met')).body;
  await db.run({ text: `update snapshots set state = 'inactive' where name = 'met'`, values: [] });
  let dropping: Promise<unknown> | null = null;
  await db.tx(async (tx) => {
    await images.wantFromRegistry(tx, organizationId, ref);
    dropping = images.dropUnused();
    await sleep(200); // it has begun, and waits
    await tx.run({ text: `update snapshots set state = 'active' where name = 'met'`, values: [] });
  });
  expect(await dropping).toEqual([]);
  expect((await images.get(image(78)))?.state).toBe('ready');
});

describe('failures', () => {
  test('what is not there is an error with a reason, at once', async () => {
    await create({ name: 'missing', imageName: 'nobody/nothing:1' });
    await untilSnapshot(plane, 'missing', 'error');
    expect((await plane.call('GET', '/api/snapshots/missing')).body.errorReason).toBe('peer says IMAGE_NOT_FOUND');
    expect((await plane.call('POST', '/api/sandbox', { snapshot: 'missing' })).body.message).toBe('Snapshot missing is error: peer says IMAGE_NOT_FOUND');
    expect((await plane.call('DELETE', '/api/snapshots/missing')).status).toBe(200);
  });

  test('a registry that is away for a moment only costs time', async () => {
    plane.runner.registry.set('flaky:1', 'REGISTRY_UNAVAILABLE');
    await create({ name: 'flaky', imageName: 'flaky:1' });
    await until(() => plane.runner.inspections.filter((line) => line.startsWith('flaky:1')).length === 1, 'it is asked');
    expect(await snapshotState(plane, 'flaky')).toBe('pending');
    published(plane, 'flaky:1', 4);
    await until(() => plane.runner.sources.has(image(4)), 'it is ordered');
    expect(await snapshotState(plane, 'flaky')).toBe('pulling');
    plane.runner.settle(image(4), { state: 'failed', reason: 'connection reset', transient: true });
    await until(() => plane.runner.count(`PUT ${image(4)}`) === 2, 'it is pulled again');
    expect(await snapshotState(plane, 'flaky')).toBe('pulling');
    ready(4);
    await untilSnapshot(plane, 'flaky', 'active');
  });

  test('a pull that fails for good is an error; asking again begins anew', async () => {
    published(plane, 'broken:1', 5);
    await create({ name: 'broken', imageName: 'broken:1' });
    await untilOrdered(plane, 'registry', 5);
    await until(() => plane.runner.sources.has(image(5)), 'it is ordered');
    plane.runner.settle(image(5), { state: 'failed', reason: 'layer 2 does not have the digest it should' });
    await untilSnapshot(plane, 'broken', 'error');
    expect((await plane.call('GET', '/api/snapshots/broken')).body.errorReason).toBe('layer 2 does not have the digest it should');
    await create({ name: 'broken2', imageName: 'broken:1' });
    await until(() => plane.runner.count(`PUT ${image(5)}`) === 2, 'it is pulled again');
    ready(5);
    await untilSnapshot(plane, 'broken2', 'active');
  });

  test('too large: by what the registry says, and by what it unpacks to', async () => {
    published(plane, 'huge:1', 6, 21 * 1024 ** 3);
    await create({ name: 'huge', imageName: 'huge:1' });
    await untilSnapshot(plane, 'huge', 'error');
    expect((await plane.call('GET', '/api/snapshots/huge')).body.errorReason).toBe('Snapshot size (21.00GB) exceeds maximum allowed size of 20GB');
    published(plane, 'bomb:1', 7, 10);
    await create({ name: 'bomb', imageName: 'bomb:1' });
    await until(() => plane.runner.sources.has(image(7)), 'it is ordered');
    ready(7, { sizeBytes: 30 * 1024 ** 3 });
    await untilSnapshot(plane, 'bomb', 'error');
    // Neither does it take up room, nor is it less large for who asks again.
    await until(async () => (await plane.context.images.get(image(7))) === null, 'the image is gone');
    await create({ name: 'bomb-again', imageName: 'bomb:1' });
    await until(() => plane.runner.count(`PUT ${image(7)}`) === 2, 'it is ordered again');
    ready(7, { sizeBytes: 30 * 1024 ** 3 });
    await untilSnapshot(plane, 'bomb-again', 'error');
  });

  test('too large although it is there already, for a sandbox say', async () => {
    const buildInfo = { dockerfileContent: 'FROM large:1\nRUN true' };
    const sandbox = (await plane.call('POST', '/api/sandbox', { buildInfo })).body;
    await until(() => ordered(plane, 'build').length > 0, 'the build is ordered');
    const [name = ''] = ordered(plane, 'build');
    plane.runner.settle(name, { state: 'ready', sizeBytes: 21 * 1024 ** 3 });
    await until(async () => (await plane.state(sandbox.id)) === 'started', 'the sandbox is started');
    expect((await create({ name: 'built-large', buildInfo })).body).toMatchObject({ state: 'error', errorReason: 'Snapshot size (21.00GB) exceeds maximum allowed size of 20GB' });
    await plane.call('DELETE', '/api/snapshots/built-large');
    await plane.call('DELETE', `/api/sandbox/${sandbox.id}`);
    await plane.context.db.run({ text: `update images set last_used_at = now() - interval '1 minute' where name = $1`, values: [name] });
    plane.context.images.collect();
    await until(async () => (await plane.context.images.get(name)) === null, 'nobody keeps it for a day');
  });
});

describe('activate and deactivate', () => {
  test('by name or id; the image goes and comes back as what it was, although the tag moved', async () => {
    published(plane, 'moving:1', 8);
    published(plane, `docker.io/library/moving@${digestOf(8)}`, 8);
    const { id } = (await create({ name: 'team/moving:x', imageName: 'moving:1' })).body;
    await until(() => plane.runner.sources.has(image(8)), 'it is ordered');
    ready(8);
    await untilSnapshot(plane, id, 'active');
    expect((await plane.call('POST', `/api/snapshots/${id}/activate`)).status).toBe(400);
    expect((await plane.call('POST', `/api/snapshots/${encodeURIComponent('team/moving:x')}/deactivate`)).status).toBe(204);
    expect((await plane.call('POST', `/api/snapshots/${id}/deactivate`)).status).toBe(204);
    expect((await plane.call('POST', '/api/sandbox', { snapshot: 'team/moving:x' })).body.message).toBe('Snapshot team/moving:x is inactive');
    await until(async () => (await plane.context.images.get(image(8))) === null, 'the image is gone');
    published(plane, 'moving:1', 9);
    const activated = await plane.call('POST', `/api/snapshots/${encodeURIComponent('team/moving:x')}/activate`);
    expect([activated.status, activated.body.state]).toEqual([200, 'pending']);
    await until(() => plane.runner.count(`PUT ${image(8)}`) === 2, 'it is pulled again');
    ready(8);
    await untilSnapshot(plane, id, 'active');
    expect(ordered(plane, 'registry')).not.toContain(image(9));
  });

  test('what nobody used for two weeks sleeps; general ones never do', async () => {
    published(plane, 'old:1', 10);
    const { id } = (await create({ name: 'old', imageName: 'old:1' })).body;
    await until(() => plane.runner.sources.has(image(10)), 'it is ordered');
    ready(10);
    await untilSnapshot(plane, 'old', 'active');
    const days = (count: number) => new Date(Date.now() + count * 86_400_000);
    await plane.context.snapshots.deactivateUnused(days(13.9));
    expect(await snapshotState(plane, id)).toBe('active');
    await plane.context.snapshots.recordUse(id);
    await plane.context.snapshots.deactivateUnused(days(14.1));
    expect(await snapshotState(plane, id)).toBe('inactive');
    expect(await snapshotState(plane, 'daytona-small')).toBe('active');
  });
});

describe('general snapshots', () => {
  test('can be made so by administrators, and then be changed by nobody', async () => {
    published(plane, 'pub:1', 11);
    const { id } = (await create({ name: 'pub', imageName: 'pub:1' })).body;
    const general = await plane.call('PATCH', `/api/admin/snapshots/${id}/general`, { general: true });
    expect([general.status, general.body.general]).toEqual([200, true]);
    for (const [method, path] of [['DELETE', ''], ['POST', '/deactivate'], ['POST', '/activate']] as const) {
      expect((await plane.call(method, `/api/snapshots/pub${path}`)).status, `${method} ${path}`).toBe(403);
    }
    expect((await plane.call('DELETE', '/api/snapshots/daytona-small')).status).toBe(403);
    expect((await plane.call('PATCH', `/api/admin/snapshots/${id}/general`, { general: 'x' })).status).toBe(400);
    expect((await plane.call('PATCH', `/api/admin/snapshots/${id}/general`, { general: false })).body.general).toBe(false);
    expect((await plane.call('PATCH', '/api/admin/snapshots/pub/general', { general: true })).status).toBe(404);
    expect((await plane.call('DELETE', '/api/snapshots/pub')).status).toBe(200);
  });

  test('an image can be cleaned up when nothing is made of it', async () => {
    const can = async (name: string) => (await plane.call('GET', `/api/admin/snapshots/can-cleanup-image?imageName=${encodeURIComponent(name)}`));
    expect([(await can('python:3.12')).text, (await can('slim')).text, (await can('unheard:1')).text]).toEqual(['false', 'false', 'true']);
    expect((await can('')).status).toBe(400);
  });
});

describe('what is refused', () => {
  test.each([
    [{}, 'name should not be empty'],
    [{ name: 'x' }, 'Must specify either an image name or build info'],
    [{ name: 'x', imageName: 'a:1', buildInfo: { dockerfileContent: 'FROM a' } }, 'Cannot specify both an image name and a build info entry'],
    [{ name: 'x', imageName: 'ubuntu' }, 'Image name must include a tag (e.g., ubuntu:22.04) or digest (@sha256:...)'],
    [{ name: 'x', imageName: 'localhost:5000/ubuntu' }, 'Image name must include a tag (e.g., ubuntu:22.04) or digest (@sha256:...)'],
    [{ name: 'x', imageName: 'ubuntu:latest' }, 'Images with tag ":latest" are not allowed'],
    [{ name: 'x', imageName: 'localhost:5000/ubuntu:latest' }, 'Images with tag ":latest" are not allowed'],
    [{ name: 'a b', imageName: 'a:1' }, 'name may contain letters, digits, dots, dashes, underscores, colons, single slashes between components, and a sha256 digest'],
    [{ name: 'x', imageName: 'a:1', cpu: 1.5 }, 'cpu must be an integer number'],
    [{ name: 'x', imageName: 'a:1', gpu: 1, gpuType: ['H100'] }, 'No available runners with GPU type: H100'],
    [{ name: 'x', imageName: 'a:1', sandboxClass: 'windows' }, 'Snapshots of class windows cannot be created from images'],
    [{ name: 'x', imageName: 'a:1', sandboxClass: 'linux-vm' }, 'No available runners for sandboxes of class linux-vm'],
    [{ name: 'x', buildInfo: { dockerfileContent: 'FROM a' }, entrypoint: ['x'] }, 'Cannot specify an entrypoint when using a build info entry; put it into the Dockerfile'],
    [{ name: 'x', buildInfo: { dockerfileContent: '' } }, 'buildInfo.dockerfileContent should not be empty'],
    [{ name: 'x', imageName: 'a:1', entrypoint: [1] }, 'each value in entrypoint must be a string'],
  ])('400 for %j', async (body, message) => {
    const reply = await create(body);
    expect([reply.status, reply.body.message]).toEqual([400, message]);
  });

  test('more than a sandbox may have', async () => {
    const { maxCpuPerSandbox, maxMemoryPerSandbox, maxDiskPerSandbox } = (await plane.call('GET', '/api/organizations')).body[0];
    for (const [what, field, max, unit] of [['CPU', 'cpu', maxCpuPerSandbox, ''], ['Memory', 'memory', maxMemoryPerSandbox, 'GB'], ['Disk', 'disk', maxDiskPerSandbox, 'GB']] as const) {
      const message = `${what} request ${max + 1}${unit} exceeds maximum allowed per sandbox (${max}${unit}).\nTo have the limit raised, ask the administrator of this server.`;
      const snapshot = await create({ name: 'larger', imageName: 'a:1', [field]: max + 1 });
      expect([snapshot.status, snapshot.body.message]).toEqual([400, message]);
      const sandbox = await plane.call('POST', '/api/sandbox', { buildInfo: { dockerfileContent: 'FROM a' }, [field]: max + 1 });
      expect([sandbox.status, sandbox.body.message]).toEqual([400, message]);
    }
  });

  test('a name that is taken, a region that is not there, a permission that is missing', async () => {
    const taken = await create({ name: 'py', imageName: 'python:3.12' });
    expect([taken.status, taken.body.message]).toEqual([409, 'Snapshot with name "py" already exists for this organization']);
    expect((await create({ name: 'y', imageName: 'python:3.12', regionId: 'mars' })).status).toBe(404);
    const key = (await plane.call('POST', '/api/api-keys', { name: 'reader', permissions: ['write:sandboxes'] })).body.value;
    for (const [method, path] of [['POST', ''], ['DELETE', '/py'], ['POST', '/py/activate'], ['POST', '/py/deactivate']] as const) {
      expect((await plane.call(method, `/api/snapshots${path}`, method === 'POST' ? { name: 'z', imageName: 'a:1' } : undefined, key)).status, `${method} ${path}`).toBe(403);
    }
    for (const [method, path] of [['DELETE', ''], ['POST', '/activate'], ['POST', '/deactivate']] as const) {
      expect((await plane.call(method, `/api/snapshots/unheard${path}`)).body.message).toBe('Snapshot with ID or name unheard not found');
    }
  });

  test('one more than the organization may have, however many ask at once', async () => {
    const { body } = await plane.call('GET', '/api/organizations');
    const before = (await plane.call('GET', `/api/organizations/${body[0].id}/usage`)).body;
    const room = before.totalSnapshotQuota - before.currentSnapshotUsage;
    const replies = await Promise.all(Array.from({ length: room + 3 }, (_, i) => create({ name: `quota-${i}`, imageName: 'python:3.12' })));
    expect(replies.map(({ status }) => status).sort()).toEqual([...Array(room).fill(200), 400, 400, 400]);
    expect(replies.find(({ status }) => status === 400)?.body.message).toBe(`Snapshot quota exceeded. Maximum allowed: ${before.totalSnapshotQuota}\nTo have the limit raised, ask the administrator of this server.`);
    await Promise.all(replies.flatMap(({ status, body: made }) => (status === 200 ? [plane.call('DELETE', `/api/snapshots/${made.id}`)] : [])));
  });
});

test('whoever claims the digest of somebody else\'s image has an image of its own', async () => {
  published(plane, 'evil.example/python:1', 20);
  await create({ name: 'evil', imageName: 'evil.example/python:1' });
  await until(() => plane.runner.sources.has(image(20)), 'it is ordered');
  const evil = image(20);
  published(plane, 'honest:1', 20);
  await create({ name: 'honest', imageName: 'honest:1' });
  await until(() => plane.runner.sources.has(image(20)), 'the other one too');
  expect(image(20)).not.toBe(evil);
  plane.runner.settle(evil, { state: 'failed', reason: 'stalled' });
  plane.runner.settle(image(20), { state: 'ready' });
  await untilSnapshot(plane, 'honest', 'active');
  await untilSnapshot(plane, 'evil', 'error');
});

test('an image whose configuration no database can hold is active nevertheless', async () => {
  published(plane, 'odd:1', 77);
  await plane.call('POST', '/api/snapshots', { name: 'odd', imageName: 'odd:1' });
  await until(() => plane.runner.sources.has(image(77)), 'it is ordered');
  ready(77, { config: { entrypoint: ['a\0b', '\ud800x'], cmd: null, workDir: '/\udc00', user: null } });
  await untilSnapshot(plane, 'odd', 'active');
  expect((await plane.call('GET', '/api/snapshots/odd')).body.entrypoint).toEqual(['a\uFFFDb', '\uFFFDx']);
});
