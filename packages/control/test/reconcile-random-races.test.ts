import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { violations } from '../src/sandboxes/states.ts';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Two control planes on one database, clients that do anything at any time, a runner that fails and dies. Afterwards all agree. */
let database: TestDatabase;
let first: TestPlane;
let second: TestPlane;

beforeAll(async () => {
  database = await startTestDatabase();
  const url = await database.create();
  first = await startPlane(url, { config: { warmPool: { 'daytona-small': 2 } } });
  second = await startPlane(url, { earlier: first, config: { warmPool: { 'daytona-small': 2 } } });
});
afterAll(async () => {
  await second.close();
  await stopPlane(first);
  await database.stop();
});

/** Small generator, so that a failure can be repeated with its seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13; state >>>= 0; state ^= state >>> 17; state ^= state << 5; state >>>= 0;
    return state % below;
  };
}

test('random operations, failures and deaths leave rows and runner agreeing, nothing pending, nothing orphaned', async () => {
  const seed = Number(process.env.PADDOCK_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}`);
  const random = randomOf(seed);
  const { runner } = first;
  const seen = new Map<number, number>();
  let over = false;

  const client = async () => {
    const mine: string[] = [];
    for (let i = 0; i < 60; i++) {
      const at = random(2) ? first : second;
      const id = mine[random(Math.max(1, mine.length))];
      const reply = id && random(3)
        ? await at.call(...([
          ['POST', `/api/sandbox/${id}/stop`], ['POST', `/api/sandbox/${id}/start`], ['POST', `/api/sandbox/${id}/stop?force=true`], ['DELETE', `/api/sandbox/${id}`],
          ['POST', `/api/sandbox/${id}/recover`], ['PUT', `/api/sandbox/${id}/labels`, { labels: { i: String(i) } }], ['POST', `/api/sandbox/${id}/autodelete/${random(2) - 1}`],
        ] as [string, string, unknown?][])[random(7)]!)
        : await at.call('POST', '/api/sandbox', { snapshot: random(2) ? 'daytona-small' : 'daytona-medium', env: random(2) ? { A: 'b' } : {}, autoDeleteInterval: random(5) ? -1 : 0 });
      seen.set(reply.status, (seen.get(reply.status) ?? 0) + 1);
      if (reply.status === 200 && reply.body.id && !mine.includes(reply.body.id)) mine.push(reply.body.id);
    }
  };
  const trouble = async () => {
    while (!over) {
      for (const action of ['PUT', 'STOP', 'DELETE', 'PATCH']) runner.delayMs[action] = random(40);
      const kind = random(5);
      if (kind === 0) runner.failNext[['PUT', 'STOP', 'DELETE', 'PATCH'][random(4)]!] = 'INTERNAL';
      if (kind === 1) runner.exit([...runner.sandboxes.keys()][random(Math.max(1, runner.sandboxes.size))] ?? '', 'exited at random', random(2) === 0);
      if (kind === 2 && random(3) === 0) {
        await runner.kill();
        await sleep(random(200));
        await runner.start();
      }
      await sleep(random(60));
    }
  };
  const troubling = trouble();
  await Promise.all(Array.from({ length: 8 }, client));
  over = true;
  await troubling;
  for (const action of Object.keys(runner.delayMs)) runner.delayMs[action] = 0;
  for (const action of Object.keys(runner.failNext)) runner.failNext[action] = undefined;
  await runner.kill();
  await runner.start(); // everything is compared once more

  const rows = () => first.context.db.query<any>({ text: `select id, state, desired_state as "desiredState", runner_id as "runnerId", error_reason as "errorReason" from sandboxes`, values: [] });
  const agree = async () => {
    const live = (await rows()).filter(({ state }) => state !== 'destroyed');
    const settled = live.every(({ state }) => state === 'started' || state === 'stopped' || state === 'error');
    const matched = live.every(({ id, state }) => state === 'error' || runner.sandboxes.get(id)?.state === state);
    const idle = live.every(({ id, state }) => state !== 'error' || runner.sandboxes.get(id)?.state !== 'started');
    const known = [...runner.sandboxes.keys()].every((id) => live.some((row) => row.id === id));
    return settled && matched && idle && known;
  };
  await until(agree, 'rows and runner agree', 20_000);
  for (const row of await rows()) expect(violations(row), row.id).toEqual([]);
  for (const status of seen.keys()) expect([200, 400, 404, 409]).toContain(status);
  expect(seen.get(200)).toBeGreaterThan(20);
  await until(async () => (await first.context.db.query({ text: 'select 1 from outbox where published_at is null', values: [] })).length === 0, 'every event is published');
}, 120_000);
