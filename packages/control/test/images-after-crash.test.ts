import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestDatabase, type TestDatabase } from './support.ts';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { imageOf, published, untilOrdered, untilSnapshot } from './images-support.ts';

/** Images, snapshots and builds when a process is gone in the middle. */
let database: TestDatabase;
let plane: TestPlane;
beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(async () => {
  if (plane) await stopPlane(plane);
  await database?.stop();
});

const image = imageOf;
const ORPHAN = 'build-00000000-0000-4000-8000-000000000000';

test('a control plane is killed with work in every state: the next one ends it', async () => {
  const url = await database.create();
  plane = await startPlane(url);
  // Looked up never, ordered but not done, done while nobody listened, lost by the runner, removed in the rows only.
  plane.runner.registry.set('later:1', 'REGISTRY_UNAVAILABLE');
  published(plane, 'pulling:1', 1);
  published(plane, 'lost:1', 2);
  published(plane, 'gone:1', 3);
  for (const name of ['later', 'pulling', 'lost', 'gone']) await plane.call('POST', '/api/snapshots', { name, imageName: `${name}:1` });
  const built = (await plane.call('POST', '/api/snapshots', { name: 'built', buildInfo: { dockerfileContent: 'FROM x' } })).body;
  await untilOrdered(plane, 'registry', 3);
  const build = await untilOrdered(plane, 'build');
  for (const n of [2, 3]) plane.runner.settle(image(n), { state: 'ready' });
  for (const name of ['lost', 'gone']) await untilSnapshot(plane, name, 'active');
  const first = plane;
  await first.close();

  plane.runner.settle(build, { state: 'failed', reason: 'no space' });
  plane.runner.images = plane.runner.images.filter(({ name }) => name !== image(2));
  plane.runner.settle(ORPHAN, { state: 'ready' });
  published(plane, 'later:1', 4);
  plane = await startPlane(url, { earlier: first });
  await plane.context.db.run({ text: `update snapshots set state = 'removing' where name = 'gone'`, values: [] });
  await untilSnapshot(plane, 'built', 'build_failed');
  expect((await plane.call('GET', `/api/snapshots/${built.id}`)).body.errorReason).toBe('no space');
  await until(() => plane.runner.count(`PUT ${image(2)}`) === 2, 'what the runner lost is made again');
  await until(() => plane.runner.count(`DELETE ${ORPHAN}`) === 1, 'what no row knows is removed');
  expect((await plane.call('GET', '/api/snapshots/lost')).body.state).toBe('active');
  for (const n of [1, 2]) plane.runner.settle(image(n), { state: 'ready' });
  await untilSnapshot(plane, 'pulling', 'active');
  await until(() => plane.runner.sources.has(image(4)), 'the pending one is looked up');
  await untilSnapshot(plane, 'gone', 'gone', 15_000);
  await until(() => plane.runner.count(`DELETE ${image(3)}`) > 0, 'and its image goes', 15_000);
  expect(plane.runner.images.some(({ name }) => name === 'slim')).toBe(true);
}, 60_000);

test('the runner is killed in the middle of a pull and of a removal: both are asked for again', async () => {
  published(plane, 'middle:1', 7);
  published(plane, 'away:1', 8);
  for (const name of ['middle', 'away']) await plane.call('POST', '/api/snapshots', { name, imageName: `${name}:1` });
  await until(() => plane.runner.sources.has(image(7)) && plane.runner.sources.has(image(8)), 'both are ordered');
  await plane.runner.kill();
  plane.runner.images = plane.runner.images.filter(({ name }) => name !== image(7));
  const removed = plane.call('DELETE', '/api/snapshots/away');
  expect((await removed).status).toBe(200);
  await plane.runner.start();
  await until(() => plane.runner.count(`PUT ${image(7)}`) === 2, 'it is pulled again');
  await until(() => plane.runner.count(`DELETE ${image(8)}`) > 0, 'the other one is removed', 15_000);
  plane.runner.settle(image(7), { state: 'ready' });
  await untilSnapshot(plane, 'middle', 'active');
});

test('PostgreSQL is killed while images are made: nothing is lost', async () => {
  published(plane, 'storm:1', 9);
  await plane.call('POST', '/api/snapshots', { name: 'storm', imageName: 'storm:1' });
  await until(() => plane.runner.sources.has(image(9)), 'it is ordered');
  const crash = database.crash(500);
  plane.runner.settle(image(9), { state: 'ready' });
  await crash;
  await untilSnapshot(plane, 'storm', 'active', 20_000);
});
