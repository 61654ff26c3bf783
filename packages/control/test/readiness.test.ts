import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, type TestPlane } from './sandbox-support.ts';
import { HEALTH_KEY, startTestDatabase, type TestDatabase } from './support.ts';

let database: TestDatabase;
let plane: TestPlane;
beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
});
afterAll(async () => {
  await plane?.close();
  await database?.stop();
});

const ready = () => plane.call('GET', '/api/health/ready', undefined, HEALTH_KEY);

test('liveness asks nobody and needs no credential', async () => {
  expect((await plane.call('GET', '/api/health', undefined, 'none')).body).toEqual({ status: 'ok' });
});

test('ready while database and runner answer', async () => {
  const reply = await ready();
  expect(reply.status).toBe(200);
  expect(reply.body).toMatchObject({ status: 'ok', error: {}, details: { database: { status: 'up' }, runner: { status: 'up' } } });
});

test('a runner that is away makes it 503 within a second, and only until it is back', async () => {
  await plane.runner.kill();
  const startedAt = performance.now();
  const reply = await ready();
  expect(performance.now() - startedAt).toBeLessThan(1500);
  expect(reply.status).toBe(503);
  expect(reply.body).toMatchObject({ status: 'error', error: { runner: { status: 'down' } }, info: { database: { status: 'up' } } });
  await plane.runner.start();
  await expect.poll(async () => (await ready()).status, { timeout: 5000 }).toBe(200);
});

test('a server that shuts down is not ready any more', async () => {
  plane.context.readiness.drain();
  const reply = await ready();
  expect(reply.status).toBe(503);
  expect(reply.body.error.server).toEqual({ status: 'down', message: 'shutting down' });
});
