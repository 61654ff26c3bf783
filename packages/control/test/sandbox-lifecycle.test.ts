import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** From POST to gone over real HTTP: status codes, states, names, ephemeral sandboxes. */
let database: TestDatabase;
let plane: TestPlane;

beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
});
afterAll(async () => {
  await stopPlane(plane);
  await database.stop();
});

test('a create answers with the true final state and everything clients need', async () => {
  const dto = await plane.create({ name: 'first', labels: { a: '1' }, env: { X: 'y' } });
  expect(dto).toMatchObject({
    name: 'first', state: 'started', desiredState: 'started', snapshot: 'daytona-small', user: 'daytona', target: 'us', cpu: 1, memory: 1, disk: 3, gpu: 0,
    kvm: false, public: false, networkBlockAll: false, env: { X: 'y' }, labels: { a: '1' }, autoStopInterval: 15, autoArchiveInterval: 10_080,
    autoDeleteInterval: -1, toolboxProxyUrl: 'http://localhost:3000/toolbox', daemonVersion: '1.2.3', sandboxClass: 'container',
  });
  expect(plane.runner.sandboxes.get(dto.id)?.spec).toMatchObject({ image: 'slim', user: null, env: { X: 'y' }, cpu: 1, memoryGiB: 1, diskGiB: 3 });
  expect((await plane.call('GET', '/api/sandbox/first')).body.id).toBe(dto.id);
  expect((await plane.call('GET', `/api/sandbox/${dto.id}`)).body).toEqual(dto);
});

test('a create says where its time went', async () => {
  const reply = await plane.call('POST', '/api/sandbox', {});
  const steps = String(reply.headers['server-timing']).split(', ').map((part) => part.split(';dur='));
  expect(steps.map(([name]) => name)).toEqual(['accepted', 'resolved', 'row-written', 'sent-to-the-runner', 'runner-answered', 'outcome-written']);
});

test('a name is taken once, and free as soon as the delete has answered', async () => {
  const first = await plane.create({ name: 'twice' });
  const second = await plane.call('POST', '/api/sandbox', { name: 'twice' });
  expect([second.status, second.body.message]).toEqual([409, 'Sandbox with name twice already exists']);
  const gone = await plane.call('DELETE', '/api/sandbox/twice');
  expect([gone.status, gone.body.state, gone.body.id]).toEqual([200, 'destroying', first.id]);
  const again = await plane.create({ name: 'twice' });
  expect(again.id).not.toBe(first.id);
  await plane.call('DELETE', `/api/sandbox/${again.id}`);
  expect((await plane.call('DELETE', `/api/sandbox/${again.id}`)).status).toBe(404);
  await until(() => !plane.runner.sandboxes.has(again.id), 'the runner holds nothing of it');
  await until(async () => (await plane.state(again.id)) === 'destroyed', 'it is not found any more');
});

test('stop and start, and what is refused in between', async () => {
  const { id } = await plane.create();
  const token = (await plane.call('GET', `/api/sandbox/${id}/ports/8080/preview-url`)).body.token;
  expect((await plane.call('POST', `/api/sandbox/${id}/start`)).body.state).toBe('started');
  const stopped = await plane.call('POST', `/api/sandbox/${id}/stop`);
  expect([stopped.status, stopped.body.state, stopped.body.desiredState]).toEqual([200, 'stopped', 'stopped']);
  const again = await plane.call('POST', `/api/sandbox/${id}/stop`);
  expect([again.status, again.body.message]).toEqual([400, 'Sandbox is not in a stoppable state']);
  const started = await plane.call('POST', `/api/sandbox/${id}/start`);
  expect([started.status, started.body.state]).toEqual([200, 'started']);
  const newToken = (await plane.call('GET', `/api/sandbox/${id}/ports/8080/preview-url`)).body.token;
  expect(newToken).not.toBe(token);
  expect(plane.runner.sandboxes.get(id)?.spec.token).toBe(newToken);
});

test('an ephemeral sandbox is destroyed where others stop', async () => {
  const { id } = await plane.create({ autoDeleteInterval: 0 });
  const reply = await plane.call('POST', `/api/sandbox/${id}/stop`);
  expect([reply.status, reply.body.desiredState]).toEqual([200, 'destroyed']);
  await until(async () => (await plane.state(id)) === 'destroyed', 'it is gone');
});

test('a start that fails is said in words, and an existing sandbox can be recovered from it', async () => {
  plane.runner.failNext.PUT = 'START_FAILED';
  const failed = await plane.call('POST', '/api/sandbox', { name: 'unlucky' });
  expect([failed.status, failed.body.message]).toEqual([400, 'Sandbox failed to start: peer says START_FAILED']);
  expect((await plane.call('GET', '/api/sandbox/unlucky')).body).toMatchObject({ state: 'error', recoverable: false, errorReason: 'peer says START_FAILED' });
  expect((await plane.call('POST', '/api/sandbox/unlucky/start')).status).toBe(400);
  expect((await plane.call('DELETE', '/api/sandbox/unlucky')).status).toBe(200);

  const { id } = await plane.create();
  await plane.call('POST', `/api/sandbox/${id}/stop`);
  plane.runner.failNext.PUT = 'RUNNER_FULL';
  expect((await plane.call('POST', `/api/sandbox/${id}/start`)).status).toBe(400);
  expect((await plane.call('GET', `/api/sandbox/${id}`)).body).toMatchObject({ state: 'error', recoverable: true });
  expect((await plane.call('POST', `/api/sandbox/${id}/recover`)).body).toMatchObject({ state: 'started', recoverable: false });
});

test('another organization\'s sandbox, an unknown one and one without permission', async () => {
  expect((await plane.call('GET', '/api/sandbox/nobody')).body.message).toBe('Sandbox with ID or name nobody not found');
  const { id } = await plane.create();
  await plane.context.db.run({ text: `update sandboxes set organization_id = gen_random_uuid() where id = '${id}'`, values: [] });
  for (const [method, path] of [['GET', ''], ['DELETE', ''], ['POST', '/stop'], ['GET', '/ports/1/preview-url'], ['GET', '/signing-key'], ['POST', '/last-activity']] as const) {
    expect((await plane.call(method, `/api/sandbox/${id}${path}`)).status, `${method} ${path}`).toBe(404);
  }
  const key = (await plane.call('POST', '/api/api-keys', { name: 'reader', permissions: [] })).body.value;
  expect((await plane.call('POST', '/api/sandbox', {}, key)).status).toBe(403);
  expect((await plane.call('GET', '/api/sandbox', undefined, key)).status).toBe(200);
});
