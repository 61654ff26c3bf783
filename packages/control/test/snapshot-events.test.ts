import { SnapshotDto } from '@paddock/contract';
import { io, type Socket } from 'socket.io-client';
import { Check } from 'typebox/value';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { imageOf, ordered, published, untilSnapshot } from './images-support.ts';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { ADMIN_KEY, startTestDatabase, type TestDatabase } from './support.ts';

/** Events of snapshots follow their commits, also those of a process that died before it sent them; suspended organizations make none. */
let database: TestDatabase;
let plane: TestPlane;
let socket: Socket;
const heard: Array<{ readonly event: string; readonly payload: any }> = [];
beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
  socket = io(`http://127.0.0.1:${plane.port}`, { path: '/api/socket.io/', transports: ['websocket'], auth: { token: ADMIN_KEY }, reconnection: false, forceNew: true });
  socket.onAny((event: string, payload: unknown) => void heard.push({ event, payload }));
  await new Promise<void>((resolve, reject) => socket.on('connect', resolve).on('connect_error', reject));
});
afterAll(async () => {
  socket?.close();
  if (plane) await stopPlane(plane);
  await database?.stop();
});

test('the whole life of a snapshot is told, in order and with its DTO', async () => {
  published(plane, 'told:1', 1);
  const { id } = (await plane.call('POST', '/api/snapshots', { name: 'told', imageName: 'told:1' })).body;
  const image = imageOf(1);
  await until(() => plane.runner.sources.has(image), 'it is ordered');
  plane.runner.settle(image, { state: 'ready' });
  await untilSnapshot(plane, 'told', 'active');
  await plane.call('POST', '/api/snapshots/told/deactivate');
  await plane.call('DELETE', '/api/snapshots/told');
  await until(() => heard.some(({ event }) => event === 'snapshot.removed'), 'the end is heard');
  expect(heard.map(({ event, payload }) => `${event} ${payload.oldState ?? ''}>${payload.newState ?? payload.state}`)).toEqual([
    'snapshot.created >pending', 'snapshot.state.updated pending>pulling', 'snapshot.state.updated pulling>active', 'snapshot.state.updated active>inactive',
    'snapshot.state.updated inactive>removing', 'snapshot.removed >removing',
  ]);
  for (const { payload } of heard) {
    const snapshot = payload.snapshot ?? payload;
    expect(snapshot).toMatchObject({ id, name: 'told' });
    expect(Check(SnapshotDto, snapshot)).toBe(true);
  }
});

test('failures are told with their reasons, also of a build and of a pull', async () => {
  heard.length = 0;
  const build = (await plane.call('POST', '/api/snapshots', { name: 'unbuilt', buildInfo: { dockerfileContent: 'FROM a:1\nRUN false' } })).body;
  await until(() => ordered(plane, 'build').length > 0, 'the build is ordered');
  plane.runner.settle(ordered(plane, 'build')[0]!, { state: 'failed', reason: 'Step 2/2 failed' });
  await untilSnapshot(plane, 'unbuilt', 'build_failed');
  await plane.call('POST', '/api/snapshots', { name: 'unknown', imageName: 'nobody/knows:1' });
  await untilSnapshot(plane, 'unknown', 'error');
  published(plane, 'pulled:1', 3);
  await plane.call('POST', '/api/snapshots', { name: 'unpulled', imageName: 'pulled:1' });
  await until(() => plane.runner.sources.has(imageOf(3)), 'it is ordered');
  plane.runner.settle(imageOf(3), { state: 'failed', reason: 'A layer of the image cannot be used' });
  await untilSnapshot(plane, 'unpulled', 'error');
  const told = (name: string) => heard.filter(({ payload }) => (payload.snapshot ?? payload).name === name)
    .map(({ event, payload }) => [event, payload.oldState ?? null, payload.newState ?? payload.state, (payload.snapshot ?? payload).errorReason]);
  await until(() => told('unpulled').length === 3, 'the end is heard');
  expect(told('unbuilt')).toEqual([['snapshot.created', null, 'building', null], ['snapshot.state.updated', 'building', 'build_failed', 'Step 2/2 failed']]);
  expect(told('unknown')).toEqual([['snapshot.created', null, 'pending', null], ['snapshot.state.updated', 'pending', 'error', expect.stringContaining('IMAGE_NOT_FOUND')]]);
  expect(told('unpulled')).toEqual([
    ['snapshot.created', null, 'pending', null], ['snapshot.state.updated', 'pending', 'pulling', null], ['snapshot.state.updated', 'pulling', 'error', 'A layer of the image cannot be used'],
  ]);
  expect(heard.find(({ payload }) => payload.newState === 'build_failed')?.payload.snapshot).toMatchObject({ id: build.id, state: 'build_failed' });
});

test('what a dead process did not send is sent by the next one, although the snapshot is gone', async () => {
  heard.length = 0;
  const { db } = plane.context;
  const organizationId = (await plane.call('GET', '/api/organizations')).body[0].id;
  await db.run({
    text: `insert into outbox (organization_id, event, subject_id, origin, detail, created_at) values ($1, 'snapshot.removed', gen_random_uuid(), gen_random_uuid(), '{"payload":{"id":"x"}}', now() - interval '5 seconds')`,
    values: [organizationId],
  });
  await until(() => heard.length > 0, 'it is sent late');
  expect(heard).toEqual([{ event: 'snapshot.removed', payload: { id: 'x' } }]);
});

test('a suspended organization makes and wakes no snapshots', async () => {
  published(plane, 'asleep:1', 2);
  await plane.call('POST', '/api/snapshots', { name: 'asleep', imageName: 'asleep:1' });
  const image = imageOf(2);
  await until(() => plane.runner.sources.has(image), 'it is ordered');
  plane.runner.settle(image, { state: 'ready' });
  await untilSnapshot(plane, 'asleep', 'active');
  await plane.call('POST', '/api/snapshots/asleep/deactivate');
  await plane.context.db.run({ text: `update organizations set suspended = true, suspension_reason = 'unpaid'`, values: [] });
  for (const [path, body] of [['/api/snapshots', { name: 'n', imageName: 'asleep:1' }], ['/api/snapshots/asleep/activate', {}], ['/api/sandbox', { buildInfo: { dockerfileContent: 'FROM a' } }]] as const) {
    const reply = await plane.call('POST', path, body);
    expect([reply.status, reply.body.message], path).toEqual([403, 'Organization is suspended: unpaid']);
  }
});
