import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { ADMIN_KEY, startTestDatabase, type TestDatabase } from './support.ts';

/** socket.io as the SDKs use it: WebSocket only, rooms, and events that follow commits. */
let database: TestDatabase;
let plane: TestPlane;
const sockets: Socket[] = [];

beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
});
afterAll(async () => {
  for (const socket of sockets) socket.close();
  await stopPlane(plane);
  await database.stop();
});

interface Heard { readonly event: string; readonly payload: any }

function connect(token: unknown, transports: ('websocket' | 'polling')[] = ['websocket']): Socket {
  const socket = io(`http://127.0.0.1:${plane.port}`, { path: '/api/socket.io/', transports, auth: { token }, query: { source: 'test' }, reconnection: false, forceNew: true });
  sockets.push(socket);
  return socket;
}

async function listen(): Promise<Heard[]> {
  const heard: Heard[] = [];
  const socket = connect(ADMIN_KEY);
  socket.onAny((event: string, payload: unknown) => void heard.push({ event, payload }));
  await new Promise<void>((resolve, reject) => socket.on('connect', resolve).on('connect_error', reject));
  return heard;
}

test('a client hears the whole life of its organization\'s sandboxes', async () => {
  const heard = await listen();
  const { id } = await plane.create({ name: 'heard' });
  await plane.call('POST', `/api/sandbox/${id}/stop`);
  await plane.call('DELETE', `/api/sandbox/${id}`);
  await until(() => heard.some(({ payload }) => payload.newState === 'destroyed'), 'the end is heard');
  const told = heard.map(({ event, payload }) => `${event} ${payload.oldState ?? payload.oldDesiredState ?? ''} ${payload.newState ?? payload.newDesiredState ?? payload.state}`);
  expect(told).toEqual([
    'sandbox.created  creating',
    'sandbox.state.updated creating started',
    'sandbox.desired-state.updated started stopped',
    'sandbox.state.updated started stopping',
    'sandbox.state.updated stopping stopped',
    'sandbox.desired-state.updated stopped destroyed',
    'sandbox.state.updated stopped destroying',
    'sandbox.state.updated destroying destroyed',
  ]);
  expect(heard[0]?.payload).toMatchObject({ id, name: 'heard', toolboxProxyUrl: expect.any(String), env: {} });
  expect(heard[1]?.payload.sandbox).toMatchObject({ id, state: 'started', organizationId: expect.any(String) });
});

test.each([['a wrong key', 'dtn_wrong'], ['no token', undefined], ['a number', 7], ['the health key', 'health-key-of-the-tests']])('%s is refused with connect_error Unauthorized', async (_what, token) => {
  const error = await new Promise<Error>((resolve) => connect(token).on('connect_error', resolve));
  expect(error.message).toBe('Unauthorized');
});

test('polling is refused quickly', async () => {
  const error = await new Promise<Error>((resolve) => connect(ADMIN_KEY, ['polling']).on('connect_error', resolve));
  expect(error).toBeInstanceOf(Error);
});

test('every event is marked as published', async () => {
  await plane.create();
  await until(async () => (await plane.context.db.query({ text: 'select id from outbox where published_at is null', values: [] })).length === 0, 'the outbox is empty');
});

test('an event whose process died before it was sent is sent by the next one', async () => {
  const heard = await listen();
  const { id, organizationId } = await plane.create();
  await plane.context.db.run({
    text: `insert into outbox (organization_id, event, subject_id, detail, origin, created_at)
           values ($1, 'sandbox.state.updated', $2, '{"oldState":"left","newState":"behind"}', gen_random_uuid(), now() - interval '1 minute')`,
    values: [organizationId, id],
  });
  await until(() => heard.some(({ payload }) => payload.newState === 'behind' && payload.sandbox.id === id), 'the late event');
});

test('events of another control plane reach the clients of this one', async () => {
  const other = await startPlane(plane.config.databaseUrl!, { earlier: plane });
  try {
    const heard = await listen();
    const { id } = await other.create();
    await until(() => heard.some(({ event, payload }) => event === 'sandbox.state.updated' && payload.sandbox.id === id), 'the event of the other process');
    expect(await plane.plane.gatewayBackend.sandbox(id)).toMatchObject({ id, state: 'started' });
  } finally {
    await other.close();
  }
});
