import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Deletes that cross other operations of the same sandbox. */
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

const nothingLeft = (id: string) => until(async () => !plane.runner.sandboxes.has(id) && (await plane.state(id)) === 'destroyed', 'nothing is left of it');

async function beginCreate(name: string): Promise<{ reply: ReturnType<TestPlane['call']>; id: string }> {
  const reply = plane.call('POST', '/api/sandbox', { name });
  let id = '';
  await until(async () => {
    const found = await plane.call('GET', `/api/sandbox/${name}`);
    id = found.body?.id ?? '';
    return plane.runner.requests.includes(`PUT ${id}`);
  }, 'the runner is starting it');
  return { reply, id };
}

test('a delete while the runner is starting it: accepted, the create is told, nothing is left', async () => {
  plane.runner.delayMs.PUT = 400;
  const { reply, id } = await beginCreate('crossed');
  const gone = await plane.call('DELETE', '/api/sandbox/crossed');
  plane.runner.delayMs.PUT = 0;
  expect([gone.status, gone.body.state]).toEqual([200, 'destroying']);
  expect((await reply).status).toBe(409);
  await nothingLeft(id);
  expect((await plane.create({ name: 'crossed' })).state).toBe('started');
});

test('a delete while it is stopping wins over the stop', async () => {
  const { id } = await plane.create();
  plane.runner.delayMs.STOP = 300;
  const stop = plane.call('POST', `/api/sandbox/${id}/stop`);
  await until(() => plane.runner.requests.includes(`STOP ${id}`), 'the runner is stopping it');
  expect((await plane.call('DELETE', `/api/sandbox/${id}`)).status).toBe(200);
  plane.runner.delayMs.STOP = 0;
  await stop;
  await nothingLeft(id);
});

test('start, stop and delete at once: each is answered, one order wins, nothing is stuck', async () => {
  for (let round = 0; round < 10; round++) {
    const { id } = await plane.create();
    plane.runner.delayMs.STOP = plane.runner.delayMs.PUT = 5 * round;
    const replies = await Promise.all([
      plane.call('POST', `/api/sandbox/${id}/stop`), plane.call('POST', `/api/sandbox/${id}/start`), plane.call('DELETE', `/api/sandbox/${id}`),
      plane.call('POST', `/api/sandbox/${id}/stop?force=true`), plane.call('DELETE', `/api/sandbox/${id}`),
    ]);
    for (const { status } of replies) expect([200, 400, 404, 409]).toContain(status);
    expect(replies.filter(({ status }, i) => (i === 2 || i === 4) && status === 200).length).toBeGreaterThan(0);
    plane.runner.delayMs.STOP = plane.runner.delayMs.PUT = 0;
    await nothingLeft(id);
  }
});

test('a delete the runner refuses is asked for again until it works', async () => {
  const { id } = await plane.create();
  plane.runner.failNext.DELETE = 'INTERNAL';
  expect((await plane.call('DELETE', `/api/sandbox/${id}`)).status).toBe(200);
  await sleep(50);
  expect(await plane.state(id)).toBe('destroying');
  await nothingLeft(id);
});

test('the client that asked goes away: the sandbox is made all the same', async () => {
  plane.runner.delayMs.PUT = 200;
  const abort = new AbortController();
  const reply = fetch(`http://127.0.0.1:${plane.port}/api/sandbox`, {
    method: 'POST', signal: abort.signal, headers: { authorization: `Bearer dtn_${'a1'.repeat(32)}`, 'content-type': 'application/json' }, body: '{"name":"left alone"}',
  }).catch(() => null);
  await until(async () => (await plane.call('GET', '/api/sandbox/left%20alone')).status === 200, 'it is being made');
  abort.abort();
  await reply;
  plane.runner.delayMs.PUT = 0;
  await until(async () => (await plane.call('GET', '/api/sandbox/left%20alone')).body.state === 'started', 'it is started');
});
