import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, LockTimeout, migrate, plan, unnamedPlan } from '../src/db/index.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

const log = pino({ level: 'silent' });
let database: TestDatabase;
let url: string;
let db: Database;
let other: Database;
beforeAll(async () => {
  database = await startTestDatabase();
  url = await database.create();
  db = new Database(url, log);
  other = new Database(url, log);
});
afterAll(async () => {
  await db?.close();
  await other?.close();
  await database?.stop();
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('named locks', () => {
  test('one holder at a time, in one process and between two', async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await sleep(3);
      inside--;
    };
    await Promise.all(Array.from({ length: 40 }, (_, index) => (index % 2 ? db : other).withLock('one', work)));
    expect(most).toBe(1);
  });

  test('different names do not wait for each other', async () => {
    let both = 0;
    const meet = async () => {
      both++;
      for (let i = 0; i < 200 && both < 2; i++) await sleep(5);
      return both;
    };
    expect(await Promise.all([db.withLock('left', meet), db.withLock('right', meet)])).toEqual([2, 2]);
  });

  test('a wait has an end, in the same process and against another', async () => {
    const holding = db.withLock('held', () => sleep(400));
    await sleep(20);
    await expect(db.withLock('held', async () => 1, { timeoutMs: 50 })).rejects.toBeInstanceOf(LockTimeout);
    await expect(other.withLock('held', async () => 1, { timeoutMs: 50 })).rejects.toBeInstanceOf(LockTimeout);
    const behind = db.withLock('held', async () => 'mine');
    await holding;
    expect(await behind).toBe('mine');
  });

  test('work that fails frees the lock', async () => {
    await expect(db.withLock('failing', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await other.withLock('failing', async () => 'free', { timeoutMs: 1000 })).toBe('free');
  });
});

describe('transactions', () => {
  test('an error undoes everything', async () => {
    await db.run(unnamedPlan('CREATE TABLE t (a int PRIMARY KEY, b bigint)'));
    await expect(db.tx(async (tx) => {
      await tx.run(unnamedPlan('INSERT INTO t VALUES (1, 2)'));
      throw new Error('no');
    })).rejects.toThrow('no');
    expect(await db.query(unnamedPlan('SELECT * FROM t'))).toEqual([]);
  });

  test('a deadlock is tried again', async () => {
    await db.run(unnamedPlan('INSERT INTO t VALUES (1, 0), (2, 0)'));
    const bump = (order: readonly number[]) => db.tx(async (tx) => {
      for (const a of order) {
        await tx.run(plan('bump', 'UPDATE t SET b = b + 1 WHERE a = $1', [a]));
        await sleep(50);
      }
    });
    await Promise.all([bump([1, 2]), bump([2, 1])]);
    expect(await db.query(unnamedPlan('SELECT b FROM t ORDER BY a'))).toEqual([{ b: 2 }, { b: 2 }]);
  });

  test('bigint and numeric are numbers', async () => {
    expect(await db.one(unnamedPlan('SELECT 9007199254740991::bigint AS big, 1.5::numeric AS half, count(*) AS n FROM t'))).toEqual({ big: 9007199254740991, half: 1.5, n: 2 });
  });
});

describe('migrations', () => {
  test('run once each, in order, also when two control planes start together', async () => {
    const fresh = await database.create();
    const left = new Database(fresh, log);
    const right = new Database(fresh, log);
    const migrations = [
      { name: '0002_second', sql: 'ALTER TABLE m ADD COLUMN b int' },
      { name: '0001_first', sql: 'CREATE TABLE m (a int); INSERT INTO m VALUES (1)' },
    ];
    await Promise.all([migrate(left, migrations, log), migrate(right, migrations, log)]);
    await migrate(left, migrations, log);
    expect(await left.query(unnamedPlan('SELECT * FROM m'))).toEqual([{ a: 1, b: null }]);
    await expect(migrate(left, [...migrations, { name: '0003_bad', sql: 'CREATE TABLE n (a int); SELECT nonsense' }], log)).rejects.toThrow();
    expect(await left.one(unnamedPlan("SELECT to_regclass('n') AS n"))).toEqual({ n: null });
    await Promise.all([left.close(), right.close()]);
  });
});

test('closing leaves no connection behind', async () => {
  const brief = new Database(url, log);
  await brief.run(unnamedPlan("SET application_name = 'brief'"));
  await brief.withLock('x', async () => undefined);
  await brief.listen('y', () => undefined);
  const count = async () => {
    const client = new pg.Client(url);
    await client.connect();
    const { rows } = await client.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name IN ('paddock-locks', 'paddock-listen', 'brief')");
    await client.end();
    return rows[0].n as number;
  };
  const before = await count();
  await brief.close();
  await expect.poll(count).toBe(before - 3);
});
