import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Two control planes on one database: what one revokes ends connections at the other. */
let database: TestDatabase;
let url: string;
let here: TestPlane;
let there: TestPlane;
const heardHere: (string | null)[] = [];
const heardThere: (string | null)[] = [];

beforeAll(async () => {
  database = await startTestDatabase();
  url = await database.create();
  here = await startPlane(url, { config: { sshPort: 2222 } });
  there = await startPlane(url, { config: { sshPort: 2222 }, earlier: here });
  here.plane.sshBackend.onRevoked((sandboxId) => heardHere.push(sandboxId));
  there.plane.sshBackend.onRevoked((sandboxId) => heardThere.push(sandboxId));
});
afterAll(async () => {
  await there.close();
  await stopPlane(here);
  await database.stop();
});

test('a revocation is heard once in each process, one of nothing in none', async () => {
  const { id } = await here.create();
  const { token } = (await here.call('POST', `/api/sandbox/${id}/ssh-access`)).body;
  await here.call('DELETE', `/api/sandbox/${id}/ssh-access?token=${'x'.repeat(32)}`);
  await here.call('DELETE', `/api/sandbox/${id}/ssh-access?token=${token}`);
  await until(() => heardThere.length > 0, 'the other process hears of it');
  await there.call('DELETE', `/api/sandbox/${id}/ssh-access`);
  await until(() => heardHere.length > 1, 'and the first of the other');
  expect([heardHere, heardThere]).toEqual([[id, id], [id, id]]);
});

test('a process that could not hear asks which accesses are left', async () => {
  const { id } = await here.create();
  const first = (await here.call('POST', `/api/sandbox/${id}/ssh-access`)).body;
  const second = (await here.call('POST', `/api/sandbox/${id}/ssh-access`)).body;
  heardHere.length = heardThere.length = 0;
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'paddock-listen' and datname = current_database()`);
  await client.end();
  await until(() => heardThere.includes(null) && heardHere.includes(null), 'both are told that they may have missed something');
  expect(await there.plane.sshBackend.remaining([first.id, second.id])).toEqual(new Set([second.id]));
  expect(await there.plane.sshBackend.remaining([])).toEqual(new Set());
});
