import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

let database: TestDatabase;
let control: TestControl;
beforeAll(async () => {
  database = await startTestDatabase();
  control = await startTestControl(await database.create());
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('PostgreSQL killed with -9', () => {
  test('a short absence costs the requests under way time, never a 500', async () => {
    const seen: number[] = [];
    let stop = false;
    const clients = Array.from({ length: 4 }, async () => {
      while (!stop) {
        seen.push((await control.call('GET', '/api/snapshots')).status);
        await sleep(5);
      }
    });
    await sleep(50);
    await database.crash(300);
    await sleep(300);
    stop = true;
    await Promise.all(clients);
    expect(new Set(seen)).toEqual(new Set([200]));
  });

  test('a long absence is 503 with a sentence, readiness says what is wrong, and all of it comes back by itself', async () => {
    const unknownKey = `dtn_${'0'.repeat(64)}`;
    expect((await control.call('GET', '/api/snapshots')).status).toBe(200);
    const crash = database.crash(5_000);
    await sleep(300);
    const [known, unknown, ready, config] = await Promise.all([
      control.call('GET', '/api/snapshots'), control.call('GET', '/api/snapshots', { key: unknownKey }), control.call('GET', '/api/health/ready', { key: 'health-key-of-the-tests' }),
      control.call('GET', '/api/config', { key: null }),
    ]);
    expect(known.status).toBe(503);
    expect(known.body.message).toBe('The database does not answer; try again in a moment');
    expect(known.headers['retry-after']).toBe('1');
    expect(unknown.status).toBe(503);
    expect(unknown.body.message).toBe('Temporary authentication service error');
    expect(ready.status).toBe(503);
    expect(ready.body).toMatchObject({ status: 'error', error: { database: { status: 'down' } } });
    expect(config.status).toBe(200);
    await crash;
    await expect.poll(async () => (await control.call('GET', '/api/health/ready')).status, { timeout: 3000 }).toBe(200);
    expect((await control.call('GET', '/api/snapshots')).status).toBe(200);
  });

  test('notifications are heard again after it', async () => {
    const heard: string[] = [];
    let gaps = 0;
    const subscription = await control.context.db.listen('test_channel', (payload) => heard.push(payload), () => gaps++);
    const notify = (payload: string) => control.context.db.run({ text: "SELECT pg_notify('test_channel', $1)", values: [payload] });
    await notify('before');
    await expect.poll(() => heard).toEqual(['before']);
    await database.crash(100);
    // Once for each reconnection; a backend that outlives the killed server for a moment makes it two.
    await expect.poll(() => gaps, { timeout: 5000 }).toBeGreaterThan(0);
    await expect.poll(async () => {
      await notify('after');
      return heard;
    }, { timeout: 5000 }).toContain('after');
    await sleep(50);
    subscription.stop();
    await notify('unheard');
    await sleep(50);
    expect(heard).not.toContain('unheard');
  });

  test('work under a lock learns that the lock is lost, and the lock can be had again', async () => {
    const aborted = control.context.db.withLock('fragile', (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('told'))));
    await sleep(100);
    await database.crash(100);
    expect(await aborted).toBe('told');
    expect(await control.context.db.withLock('fragile', async (signal) => signal.aborted)).toBe(false);
  });
});
