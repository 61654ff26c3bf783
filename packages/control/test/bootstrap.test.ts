import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bootstrap, createContext, migrate, MIGRATIONS } from '@paddock/control';
import { pino } from 'pino';
import { startTestControl, startTestDatabase, testConfig, type TestDatabase } from './support.ts';

let database: TestDatabase;
beforeAll(async () => { database = await startTestDatabase(); });
afterAll(() => database?.stop());

async function start(url: string, adminApiKey: string | null, defaultImage = 'slim'): Promise<string[]> {
  const config = testConfig(url, { adminApiKey, image: { default: defaultImage, suite: 'trixie', mirror: null } });
  const context = createContext(config, pino({ level: 'silent' }));
  const announced: string[] = [];
  try {
    await migrate(context.db, MIGRATIONS, context.log);
    await bootstrap(context.db, config, (key) => announced.push(key));
  } finally {
    await context.db.close();
  }
  return announced;
}

async function rows(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  const result = await client.query(text);
  await client.end();
  return result.rows as Record<string, unknown>[];
}

test('a generated key is announced once, works, and is nowhere in the database', async () => {
  const url = await database.create();
  const [key, ...more] = await start(url, null);
  expect(key).toMatch(/^dtn_[0-9a-f]{64}$/);
  expect(more).toEqual([]);
  expect(await start(url, null)).toEqual([]);
  const control = await startTestControl(url, { config: { adminApiKey: null } });
  const reply = await control.call('GET', '/api/users/me', { key: key! });
  expect(reply.body).toMatchObject({ id: 'daytona-admin', emailVerified: true, publicKeys: [] });
  await control.close();
  const stored = JSON.stringify([await rows(url, 'SELECT * FROM api_keys'), await rows(url, 'SELECT * FROM settings')]);
  expect(stored).not.toContain(key!.slice(4, 24));
});

test('a key set by the operator works; another one set later is added beside it', async () => {
  const url = await database.create();
  const first = 'operators-first-key';
  const second = 'operators-second-key';
  expect(await start(url, first)).toEqual([]);
  expect(await start(url, first)).toEqual([]);
  const control = await startTestControl(url, { config: { adminApiKey: second } });
  for (const key of [first, second]) expect((await control.call('GET', '/api/users/me', { key })).status).toBe(200);
  expect(await rows(url, 'SELECT name FROM api_keys')).toHaveLength(2);
  await control.close();
});

test('a key that is too short or cannot travel in a header is refused with a sentence', async () => {
  const url = await database.create();
  await expect(start(url, 'short')).rejects.toThrow(/at least 16 characters/);
  await expect(start(url, 'sixteen or more but with spaces')).rejects.toThrow(/printable ASCII/);
});

test('starts at the same time make everything once', async () => {
  const url = await database.create();
  const announced = await Promise.all([start(url, null), start(url, null), start(url, null)]);
  expect(announced.flat()).toHaveLength(1);
  expect(await rows(url, 'SELECT 1 FROM organizations')).toHaveLength(1);
  expect(await rows(url, 'SELECT name FROM snapshots ORDER BY cpu')).toEqual([{ name: 'daytona-small' }, { name: 'daytona-medium' }, { name: 'daytona-large' }]);
  expect(await rows(url, 'SELECT id, region_type FROM regions')).toEqual([{ id: 'us', region_type: 'shared' }]);
});

test('another default image is what the default snapshots are made of from then on, once it is there', async () => {
  const url = await database.create();
  const general = () => rows(url, 'SELECT DISTINCT image, state FROM snapshots WHERE general');
  await start(url, null);
  await rows(url, "UPDATE snapshots SET state = 'active'");
  await start(url, null);
  expect(await general()).toEqual([{ image: 'slim', state: 'active' }]);
  await start(url, null, 'sandbox');
  expect(await general()).toEqual([{ image: 'sandbox', state: 'pending' }]);
});
