import { randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { ADMIN_KEY, startTestDatabase, type TestDatabase } from './support.ts';

/** The five routes, what they refuse, and volumes in sandboxes. */
let database: TestDatabase;
let plane: TestPlane;
let socket: Socket;
const heard: { event: string; payload: any }[] = [];

beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create(), { config: { warmPool: { 'daytona-medium': 1 } } });
  socket = io(`http://127.0.0.1:${plane.port}`, { path: '/api/socket.io/', transports: ['websocket'], auth: { token: ADMIN_KEY } });
  socket.onAny((event: string, payload: unknown) => void heard.push({ event, payload }));
  await new Promise<void>((resolve) => socket.on('connect', () => resolve()));
});
afterAll(async () => {
  socket.close();
  await stopPlane(plane);
  await database.stop();
});

const sql = (text: string, values: unknown[] = []) => plane.context.db.query<any>({ text, values });
const create = async (name?: string) => {
  const reply = await plane.call('POST', '/api/volumes', { name });
  if (reply.status !== 200) throw new Error(reply.text);
  return reply.body;
};
const get = (id: string) => plane.call('GET', `/api/volumes/${id}`);
const drop = (id: string) => plane.call('DELETE', `/api/volumes/${id}`);
const list = async (query = '') => (await plane.call('GET', `/api/volumes${query}`)).body as any[];
const refusal = async (method: string, path: string, json?: unknown, key?: string) => {
  const { status, body } = await plane.call(method, path, json, key);
  return [status, body?.message];
};
const told = (id: string) => heard.filter(({ payload }) => (payload.volume ?? payload).id === id).map(({ event, payload }) => `${event} ${payload.oldState ?? ''} ${payload.newState ?? payload.state}`);

test('a volume is ready when its creation is answered', async () => {
  const volume = await create('first');
  expect(volume).toEqual({
    id: expect.stringMatching(/^[0-9a-f-]{36}$/), name: 'first', organizationId: expect.any(String), state: 'ready', errorReason: null, lastUsedAt: null,
    createdAt: expect.any(String), updatedAt: expect.any(String),
  });
  expect(plane.runner.volumes).toContain(volume.id);
  expect((await get(volume.id)).body).toEqual(volume);
  expect((await plane.call('GET', '/api/volumes/by-name/first')).body).toEqual(volume);
  expect((await list()).map(({ id }) => id)).toContain(volume.id);
  await until(() => told(volume.id).length === 2, 'its events are heard');
  expect(told(volume.id)).toEqual(['volume.created  creating', 'volume.state.updated creating ready']);
});

test('a volume without a name is called like its id', async () => {
  for (const body of [{}, { name: '' }, { name: null }]) {
    const { body: volume } = await plane.call('POST', '/api/volumes', body);
    expect(volume.name).toBe(volume.id);
  }
});

test('names: any text that is safe to show, once in an organization', async () => {
  for (const name of ['a/b c', 'größe €', '..', '%2e', '?x#y', '-', 'x'.repeat(255)]) {
    const volume = await create(name);
    expect((await plane.call('GET', `/api/volumes/by-name/${encodeURIComponent(name)}`)).body?.id, name).toBe(volume.id);
    expect((await drop(volume.id)).status).toBe(200);
  }
  await create('taken');
  expect(await refusal('POST', '/api/volumes', { name: 'taken' })).toEqual([400, 'Volume with name taken already exists']);
  expect(await refusal('POST', '/api/volumes', { name: '<b>x</b>' })).toEqual([400, 'name must not contain HTML tags']);
  expect(await refusal('POST', '/api/volumes', { name: 'http://x.test' })).toEqual([400, 'name must not contain URLs']);
  expect(await refusal('POST', '/api/volumes', { name: 'a\nb' })).toEqual([400, 'name must not contain control characters']);
  expect(await refusal('POST', '/api/volumes', { name: 'x'.repeat(256) })).toEqual([400, 'name must be shorter than or equal to 255 characters']);
  expect(await refusal('POST', '/api/volumes', { name: 7 })).toEqual([400, expect.stringContaining('name must be')]);
});

test('what is not there, or somebody else\'s, is 404', async () => {
  const id = randomUUID();
  await sql(`insert into volumes (id, organization_id, name, driver, state) values ($1, $2, 'theirs', 'local', 'ready')`, [id, randomUUID()]);
  for (const unknown of [id, randomUUID(), 'x']) {
    expect(await refusal('GET', `/api/volumes/${unknown}`)).toEqual([404, `Volume with ID ${unknown} not found`]);
    expect(await refusal('DELETE', `/api/volumes/${unknown}`)).toEqual([404, `Volume with ID ${unknown} not found`]);
  }
  expect(await refusal('GET', '/api/volumes/by-name/theirs')).toEqual([404, 'Volume with name theirs not found']);
  expect(await refusal('POST', '/api/sandbox', { volumes: [{ volumeId: id, mountPath: '/v' }] })).toEqual([404, `Volume with ID ${id} not found`]);
  expect(await refusal('POST', '/api/sandbox', { volumes: [{ volumeId: 'theirs', mountPath: '/v' }] })).toEqual([404, 'Volume with name theirs not found']);
  expect((await list('?includeDeleted=true')).map((volume) => volume.id)).not.toContain(id);
});

test('each operation asks for its permission', async () => {
  const { id } = await create();
  const key = (await plane.call('POST', '/api/api-keys', { name: 'read only', permissions: ['read:volumes'] })).body.value;
  expect((await plane.call('GET', `/api/volumes/${id}`, undefined, key)).status).toBe(200);
  expect(await refusal('POST', '/api/volumes', { name: 'no' }, key)).toEqual([403, 'Access denied']);
  expect(await refusal('DELETE', `/api/volumes/${id}`, undefined, key)).toEqual([403, 'Access denied']);
  const other = (await plane.call('POST', '/api/api-keys', { name: 'write only', permissions: ['write:volumes'] })).body.value;
  for (const path of ['/api/volumes', `/api/volumes/${id}`, '/api/volumes/by-name/x']) expect(await refusal('GET', path, undefined, other)).toEqual([403, 'Access denied']);
});

test('the quota counts what exists and what is being deleted, also among creates at the same time', async () => {
  const [{ organizationId }] = await list();
  const [{ volume_quota: before }] = await sql('select volume_quota from organizations where id = $1', [organizationId]);
  const used = async () => (await plane.call('GET', `/api/organizations/${organizationId}/usage`)).body;
  const { currentVolumeUsage } = await used();
  expect(currentVolumeUsage).toBe((await list()).length);
  await sql('update organizations set volume_quota = $2 where id = $1', [organizationId, currentVolumeUsage + 2]);
  const replies = await Promise.all(Array.from({ length: 6 }, () => plane.call('POST', '/api/volumes', {})));
  expect(replies.map(({ status }) => status).sort()).toEqual([200, 200, 400, 400, 400, 400]);
  expect(replies.find(({ status }) => status === 400)!.body.message).toContain(`Volume quota exceeded. Maximum allowed: ${currentVolumeUsage + 2}`);
  expect(await used()).toMatchObject({ totalVolumeQuota: currentVolumeUsage + 2, currentVolumeUsage: currentVolumeUsage + 2 });
  await sql('update organizations set volume_quota = $2 where id = $1', [organizationId, before]);
});

test('a suspended organization makes none', async () => {
  await sql(`update organizations set suspended = true, suspension_reason = 'unpaid'`);
  expect(await refusal('POST', '/api/volumes', { name: 'no' })).toEqual([403, 'Organization is suspended: unpaid']);
  await sql('update organizations set suspended = false');
});

test('sandboxes get volumes by id or name, several of them, one in several', async () => {
  const [a, b] = [await create('by id'), await create('by name')];
  const sandbox = await plane.create({ volumes: [{ volumeId: a.id.toUpperCase(), mountPath: '//data/' }, { volumeId: 'by name', mountPath: '/home/daytona/x', subpath: 'users/alice/' }, { volumeId: a.id, mountPath: '/again', subpath: null }] });
  const stored = [{ volumeId: a.id, mountPath: '/data' }, { volumeId: b.id, mountPath: '/home/daytona/x', subpath: 'users/alice' }, { volumeId: a.id, mountPath: '/again' }];
  expect(sandbox.volumes).toEqual(stored);
  expect((await plane.call('GET', `/api/sandbox/${sandbox.id}`)).body.volumes).toEqual(stored);
  expect(plane.runner.sandboxes.get(sandbox.id)!.spec.volumes).toEqual(stored.map((mount) => ({ subpath: null, ...mount, driver: 'local' })));
  await until(async () => (await get(b.id)).body.lastUsedAt !== null, 'the use is recorded');
  await until(() => told(b.id).includes('volume.lastUsedAt.updated  ready'), 'the use is heard');
  expect((await list()).slice(0, 2).map(({ id }) => id).sort()).toEqual([a.id, b.id].sort());
  const other = await plane.create({ volumes: [{ volumeId: a.id, mountPath: '/x' }] });
  expect(await refusal('DELETE', `/api/volumes/${a.id}`)).toEqual([409, expect.stringContaining(`in use by one or more sandboxes, such as ${sandbox.name}, ${other.name}`)]);
  await plane.call('POST', `/api/sandbox/${other.id}/stop`);
  expect((await drop(a.id)).status).toBe(409);
  await plane.call('DELETE', `/api/sandbox/${other.id}`);
  await plane.call('DELETE', `/api/sandbox/${sandbox.id}`);
  expect((await drop(a.id)).status).toBe(200);
});

test('a volume that is not ready, or two of a name, is 400', async () => {
  const volume = await create('twin');
  const twin = await create(volume.id);
  expect(await refusal('POST', '/api/sandbox', { volumes: [{ volumeId: volume.id, mountPath: '/v' }] })).toEqual([400, expect.stringContaining('ambiguous')]);
  await drop(twin.id);
  await sql(`update volumes set state = 'error', error_reason = 'x' where id = $1`, [volume.id]);
  expect(await refusal('POST', '/api/sandbox', { volumes: [{ volumeId: 'twin', mountPath: '/v' }] })).toEqual([400, 'Volume twin is not ready: it is error']);
  await sql(`update volumes set state = 'creating' where id = $1`, [volume.id]);
  plane.runner.failNext['PUT volume'] = 'RUNNER_FULL';
  expect(await refusal('DELETE', `/api/volumes/${volume.id}`)).toEqual([400, 'Volume must be in the state ready or error to be deleted; it is creating']);
  await sql(`update volumes set state = 'error' where id = $1`, [volume.id]);
  expect((await drop(volume.id)).status).toBe(200);
  plane.runner.failNext['PUT volume'] = undefined;
});

test('a deleted volume leaves the runner once no sandbox can write to it, its name is free at once', async () => {
  const volume = await create('gone');
  const { id } = await plane.create({ volumes: [{ volumeId: 'gone', mountPath: '/v' }] });
  plane.runner.delayMs['DELETE'] = 300;
  await plane.call('DELETE', `/api/sandbox/${id}`);
  expect((await drop(volume.id)).status).toBe(200);
  expect((await get(volume.id)).body.state).toBe('pending_delete');
  expect(plane.runner.volumes).toContain(volume.id);
  const again = await create('gone');
  expect((await plane.call('GET', '/api/volumes/by-name/gone')).body.id).toBe(again.id);
  expect(await refusal('DELETE', `/api/volumes/${volume.id}`)).toEqual([400, expect.stringContaining('pending_delete')]);
  expect((await plane.create({ volumes: [{ volumeId: 'gone', mountPath: '/v' }] })).volumes[0].volumeId).toBe(again.id);
  await until(() => !plane.runner.volumes.has(volume.id), 'its data is removed');
  plane.runner.delayMs['DELETE'] = 0;
  await until(async () => (await get(volume.id)).status === 404, 'it is deleted');
  expect((await list('?includeDeleted=true')).find((other) => other.id === volume.id)).toMatchObject({ name: 'gone-deleted', state: 'deleted' });
  expect((await list()).map((other) => other.id)).not.toContain(volume.id);
  await until(() => told(volume.id).length === 5 || told(volume.id).length === 6, 'its end is heard');
  expect(told(volume.id).slice(-3)).toEqual(['volume.state.updated ready pending_delete', 'volume.state.updated pending_delete deleting', 'volume.state.updated deleting deleted']);
});

test('a create and a delete at the same time never both succeed', async () => {
  for (let round = 0; round < 20; round++) {
    const volume = await create();
    const [created, deleted] = await Promise.all([plane.call('POST', '/api/sandbox', { volumes: [{ volumeId: volume.id, mountPath: '/v' }] }), drop(volume.id)]);
    expect([[200, 409], [400, 200], [404, 200]]).toContainEqual([created.status, deleted.status]);
    if (created.status === 200) await plane.call('DELETE', `/api/sandbox/${created.body.id}`);
  }
});

test('volumes do not keep a create from a waiting sandbox, except one in another', async () => {
  const waiting = async () => (await sql(`select id from sandboxes where organization_id = '00000000-0000-0000-0000-000000000000' and state = 'started'`)).map(({ id }) => id);
  await until(async () => (await waiting()).length === 1, 'one waits');
  const [warm] = await waiting();
  const volume = await create();
  const claimed = await plane.create({ snapshot: 'daytona-medium', volumes: [{ volumeId: volume.id, mountPath: '/data' }] });
  expect(claimed).toMatchObject({ id: warm, state: 'started', volumes: [{ volumeId: volume.id, mountPath: '/data' }] });
  expect(plane.runner.sandboxes.get(warm)!.spec.volumes).toEqual([{ volumeId: volume.id, driver: 'local', mountPath: '/data', subpath: null }]);
  expect((await drop(volume.id)).status).toBe(409);
  await until(async () => (await waiting()).length === 1, 'another one waits');
  const cold = await plane.create({ snapshot: 'daytona-medium', volumes: [{ volumeId: volume.id, mountPath: '/a' }, { volumeId: volume.id, mountPath: '/a/b' }] });
  expect(await waiting()).not.toContain(cold.id);
  await sql(`update volumes set state = 'error' where id = $1`, [volume.id]);
});

test('a volume that cannot be made says why, and can be deleted', async () => {
  plane.runner.failNext['PUT volume'] = 'RUNNER_FULL';
  const volume = await create('full');
  expect(volume).toMatchObject({ state: 'error', errorReason: 'peer says RUNNER_FULL' });
  expect((await drop(volume.id)).status).toBe(200);
});

test('what a killed process or an absent runner left is finished, what no row knows is kept, what is lost is said', async () => {
  const [kept, lost, half, going, used] = [await create('kept'), await create('lost'), await create('half'), await create('going'), await create('used')];
  const { id } = await plane.create({ volumes: [{ volumeId: used.id, mountPath: '/v' }] });
  const [stranger, deleted] = [randomUUID(), await create()];
  await sql(`update volumes set state = 'deleted' where id = $1`, [deleted.id]);
  socket.close();
  await plane.close();
  plane.runner.volumes.delete(lost.id);
  plane.runner.volumes.delete(half.id);
  plane.runner.volumes.add(stranger);
  plane = await startPlane(plane.config.databaseUrl!, { earlier: plane });
  await until(async () => (await get(lost.id)).body.state === 'error', 'the loss is recorded');
  expect((await get(lost.id)).body.errorReason).toContain('no longer exists');
  await until(() => !plane.runner.volumes.has(deleted.id), 'what should be deleted is removed');
  expect(plane.runner.volumes).toContain(stranger);
  expect((await get(kept.id)).body.state).toBe('ready');
  await until(async () => (await get(half.id)).body.state === 'error', 'and this one');
  await sql(`update volumes set state = 'creating', error_reason = null where id = $1`, [half.id]);
  await sql(`update volumes set state = 'deleting' where id = $1`, [going.id]);
  await sql(`update volumes set state = 'pending_delete' where id = $1`, [used.id]);
  await plane.runner.kill();
  await plane.runner.start();
  await until(async () => (await get(half.id)).body.state === 'ready', 'the creation is finished');
  await until(async () => (await get(going.id)).status === 404 && !plane.runner.volumes.has(going.id), 'the deletion is finished');
  expect((await get(used.id)).body.state).toBe('pending_delete');
  await plane.call('DELETE', `/api/sandbox/${id}`);
  await until(async () => (await get(used.id)).status === 404, 'the last sandbox is gone, the volume follows');
});
