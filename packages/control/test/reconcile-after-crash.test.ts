import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Something was killed at a bad moment; ten seconds later rows and reality agree. */
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

const puts = () => plane.runner.requests.filter((line) => line.startsWith('PUT')).length;

/** Rows as a control plane leaves them that is killed in the middle. */
const force = (id: string, state: string, desired: string) => plane.context.db.run({
  text: 'update sandboxes set state = $2, desired_state = $3, revision = revision + 1 where id = $1', values: [id, state, desired],
});

test('the runner is killed while a sandbox stops: it is stopped after the restart', async () => {
  const { id } = await plane.create();
  plane.runner.delayMs.STOP = 500;
  const reply = plane.call('POST', `/api/sandbox/${id}/stop`);
  await until(() => plane.runner.requests.includes(`STOP ${id}`), 'the runner is stopping it');
  await plane.runner.kill();
  plane.runner.delayMs.STOP = 0;
  expect((await reply).body.state).toBe('stopping');
  await plane.runner.start();
  await until(async () => (await plane.state(id)) === 'stopped', 'it is stopped');
});

test('the runner is killed while a sandbox starts: the create waits for the restart and succeeds', async () => {
  plane.runner.delayMs.PUT = 300;
  const before = puts();
  const reply = plane.call('POST', '/api/sandbox', { name: 'patient' });
  await until(() => puts() > before, 'the runner is starting it');
  await plane.runner.kill();
  plane.runner.delayMs.PUT = 0;
  await sleep(300);
  await plane.runner.start();
  expect((await reply).body).toMatchObject({ state: 'started', name: 'patient' });
});

test('PostgreSQL is killed while a sandbox starts: the create succeeds', async () => {
  plane.runner.delayMs.PUT = 600;
  const before = puts();
  const reply = plane.call('POST', '/api/sandbox', { name: 'persistent' });
  await until(() => puts() > before, 'the runner is starting it');
  const crash = database.crash(500);
  plane.runner.delayMs.PUT = 0;
  await crash;
  expect((await reply).body).toMatchObject({ state: 'started', name: 'persistent' });
});

test('a control plane is killed with sandboxes in every pending state: the next one finishes the work', async () => {
  const [creating, starting, stopping, destroying, wanted] = await Promise.all(Array.from({ length: 5 }, async () => (await plane.create()).id as string));
  await plane.close();
  const after = await startPlane(plane.config.databaseUrl!, { earlier: plane });
  await after.close();
  const unattended = await startPlane(plane.config.databaseUrl!, { earlier: plane });
  plane = unattended;
  plane.runner.sandboxes.delete(creating!);
  await force(creating!, 'creating', 'started');
  await force(starting!, 'starting', 'started');
  await force(stopping!, 'stopping', 'stopped');
  await force(destroying!, 'destroying', 'destroyed');
  await force(wanted!, 'started', 'stopped');
  await until(async () => (await plane.state(creating!)) === 'started' && plane.runner.sandboxes.get(creating!)?.state === 'started', 'the create goes on');
  await until(async () => (await plane.state(starting!)) === 'started', 'the start goes on');
  await until(async () => (await plane.state(stopping!)) === 'stopped' && plane.runner.sandboxes.get(stopping!)?.state === 'stopped', 'the stop goes on');
  await until(async () => (await plane.state(destroying!)) === 'destroyed' && !plane.runner.sandboxes.has(destroying!), 'the delete goes on');
  await until(async () => (await plane.state(wanted!)) === 'stopped', 'what is wanted and not begun is begun');
});

test('what the runner holds without a row is removed at the next connection', async () => {
  const orphan = 'deadbeef-0000-4000-8000-000000000000';
  plane.runner.sandboxes.set(orphan, { spec: {} as never, state: 'started' });
  await plane.runner.kill();
  await plane.runner.start();
  await until(() => !plane.runner.sandboxes.has(orphan), 'the orphan is gone');
});

test('a sandbox that ends by itself becomes stopped/stopped with the reason, and can be started again', async () => {
  const { id } = await plane.create();
  plane.runner.exit(id, 'out of memory');
  await until(async () => (await plane.state(id)) === 'stopped', 'it is stopped');
  expect((await plane.call('GET', `/api/sandbox/${id}`)).body).toMatchObject({ state: 'stopped', desiredState: 'stopped', errorReason: 'out of memory' });
  const started = (await plane.call('POST', `/api/sandbox/${id}/start`)).body;
  expect(started.state).toBe('started');
  expect(started).not.toHaveProperty('errorReason');
});

test('an ephemeral sandbox that ends by itself is destroyed', async () => {
  const { id } = await plane.create({ autoDeleteInterval: 0 });
  plane.runner.exit(id, 'ended');
  await until(async () => (await plane.state(id)) === 'destroyed' && !plane.runner.sandboxes.has(id), 'it is gone');
});

test('what changed while the runner was away is found by comparing', async () => {
  const [exited, lost, stopped] = await Promise.all(Array.from({ length: 3 }, async () => (await plane.create()).id as string));
  await plane.call('POST', `/api/sandbox/${stopped}/stop`);
  plane.runner.exit(exited!, 'power failure', false);
  plane.runner.sandboxes.delete(lost!);
  plane.runner.sandboxes.get(stopped!)!.state = 'started';
  await plane.runner.kill();
  await plane.runner.start();
  await until(async () => (await plane.state(exited!)) === 'stopped', 'the one that ended is stopped');
  await until(async () => (await plane.state(lost!)) === 'error', 'the one that is lost is in error');
  expect((await plane.call('GET', `/api/sandbox/${lost}`)).body.errorReason).toBe('The sandbox no longer exists on its runner');
  await until(() => plane.runner.sandboxes.get(stopped!)?.state === 'stopped', 'the one that should not run does not');
  expect((await plane.call('DELETE', `/api/sandbox/${lost}`)).status).toBe(200);
});

test('a pending state that lasts too long becomes an error', async () => {
  const { id } = await plane.create();
  plane.runner.delayMs.STOP = 300;
  await plane.call('POST', `/api/sandbox/${id}/stop`);
  await plane.call('POST', `/api/sandbox/${id}/start`);
  plane.runner.delayMs.STOP = 0;
  plane.runner.failNext.PUT = 'IMAGE_NOT_READY';
  await plane.context.db.run({ text: `update sandboxes set state = 'starting', desired_state = 'started', revision = revision + 1, state_changed_at = now() - interval '1 hour' where id = $1`, values: [id] });
  await until(async () => (await plane.state(id)) === 'error', 'it timed out');
  expect((await plane.call('GET', `/api/sandbox/${id}`)).body).toMatchObject({ errorReason: 'Timeout while starting sandbox', recoverable: true });
  expect((await plane.call('DELETE', `/api/sandbox/${id}`)).status).toBe(200);
});
