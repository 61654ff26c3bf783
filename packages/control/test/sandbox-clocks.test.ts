import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Auto-stop, auto-delete, end of life: minutes are made to pass by moving the rows into the past. */
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

const age = (id: string, minutes: number) => plane.context.db.run({
  text: `update sandboxes set last_activity_at = last_activity_at - $2 * interval '1 minute', auto_destroy_at = auto_destroy_at - $2 * interval '1 minute' where id = $1`, values: [id, minutes],
});
/** Any change of an interval makes the clocks look at once. */
const look = async () => { await plane.call('POST', `/api/sandbox/${(bystander)}/autostop/15`); };
let bystander = '';

test('a started sandbox without activity is stopped, and not before its time', async () => {
  bystander = (await plane.create({ name: 'bystander' })).id;
  const { id } = await plane.create({ autoStopInterval: 5 });
  await age(id, 4);
  await look();
  expect(await plane.state(id)).toBe('started');
  await age(id, 1);
  await look();
  await until(async () => (await plane.state(id)) === 'stopped', 'it is stopped');
  expect(await plane.state(bystander)).toBe('started');
});

test('activity that is not in the row yet counts', async () => {
  const { id } = await plane.create({ autoStopInterval: 5 });
  await age(id, 60);
  plane.plane.gatewayBackend.touch(id);
  await look();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await plane.state(id)).toBe('started');
});

test('0 never stops', async () => {
  const { id } = await plane.create({ autoStopInterval: 0 });
  await age(id, 100_000);
  await look();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await plane.state(id)).toBe('started');
});

test('an idle ephemeral sandbox is destroyed instead', async () => {
  const { id } = await plane.create({ autoStopInterval: 5, autoDeleteInterval: 0 });
  await age(id, 6);
  await look();
  await until(async () => (await plane.state(id)) === 'destroyed', 'it is gone');
});

test('a stopped one is deleted after its interval; the stop starts the clock', async () => {
  const { id } = await plane.create({ autoDeleteInterval: 10 });
  await age(id, 60);
  await plane.call('POST', `/api/sandbox/${id}/stop`);
  await look();
  expect(await plane.state(id)).toBe('stopped');
  await age(id, 11);
  await look();
  await until(async () => (await plane.state(id)) === 'destroyed', 'it is gone');
});

test('an interval set to 0 on a stopped sandbox deletes it', async () => {
  const { id } = await plane.create();
  await plane.call('POST', `/api/sandbox/${id}/stop`);
  await plane.call('POST', `/api/sandbox/${id}/autodelete/0`);
  await until(async () => (await plane.state(id)) === 'destroyed', 'it is gone');
});

test('the end of life comes in every state', async () => {
  const started = (await plane.create({ ttlMinutes: 30 })).id;
  const stopped = (await plane.create({ ttlMinutes: 30 })).id;
  await plane.call('POST', `/api/sandbox/${stopped}/stop`);
  for (const id of [started, stopped]) await age(id, 31);
  await look();
  for (const id of [started, stopped]) await until(async () => (await plane.state(id)) === 'destroyed', 'it is gone');
});

test('rows of destroyed sandboxes go after a day', async () => {
  const { id } = await plane.create();
  await plane.call('DELETE', `/api/sandbox/${id}`);
  await until(async () => (await plane.state(id)) === 'destroyed', 'it is destroyed');
  await plane.context.db.run({ text: `update sandboxes set state_changed_at = now() - interval '25 hours' where id = $1`, values: [id] });
  await plane.close();
  plane = await startPlane(plane.config.databaseUrl!, { earlier: plane });
  await until(async () => (await plane.context.db.query({ text: `select 1 from sandboxes where id = $1`, values: [id] })).length === 0, 'the row is gone');
});
