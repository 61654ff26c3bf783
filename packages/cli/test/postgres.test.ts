import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { layoutOf } from '@paddock/contract';
import { type Postgres, startPostgres } from '../src/postgres/index.ts';

let scratch: string;
let running: Postgres[] = [];

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'paddock-pg-')); // 0700: only its owner gets in
});
afterEach(async () => {
  await Promise.all(running.map((server) => server.stop()));
  running = [];
  rmSync(scratch, { recursive: true });
  rmSync(layoutOf(join(scratch, 'data')).runDir, { recursive: true, force: true });
});

const layout = () => layoutOf(join(scratch, 'data'));
async function start(): Promise<Postgres> {
  const server = await startPostgres({ layout: layout(), serviceUser: 'paddock' });
  running.push(server);
  return server;
}
async function query(server: Postgres, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

describe('embedded PostgreSQL', () => {
  test('starts from nothing in a directory that only root enters, as another user, without TCP', async () => {
    expect(statSync(scratch).mode & 0o777).toBe(0o700);
    const server = await start();
    expect(await query(server, 'select current_database() db, current_user who')).toEqual([{ db: 'paddock', who: 'paddock' }]);
    expect(await query(server, "select current_setting('server_version_num')::int / 10000 v, current_setting('listen_addresses') l, current_setting('fsync') f"))
      .toEqual([{ v: 18, l: '', f: 'on' }]);
    expect(readFileSync(`/proc/${server.pid}/status`, 'utf8')).not.toMatch(/^Uid:\s+0\b/m);
    expect(statSync(layout().postgresSocketDir).mode & 0o777).toBe(0o700);
  });

  test('leaves no mount, socket or process when it stops', async () => {
    const server = await start();
    await server.stop();
    expect(existsSync(`/proc/${server.pid}`)).toBe(false);
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(layout().runDir);
    expect(existsSync(join(layout().postgresSocketDir, '.s.PGSQL.5432'))).toBe(false);
  });

  test('keeps what it acknowledged when it is killed, and starts again at once', async () => {
    const first = await start();
    await query(first, 'create table kept (n int)');
    for (let round = 0; round < 3; round++) {
      const server = running.at(-1);
      if (!server) throw new Error('no server');
      await query(server, `insert into kept values (${round})`);
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
      const next = await start();
      expect(await query(next, 'select count(*)::int n from kept')).toEqual([{ n: round + 1 }]);
    }
  });

  test('starts although a stale pid file names a living process', async () => {
    const server = await start();
    await query(server, 'create table kept (n int)');
    process.kill(server.pid, 'SIGKILL');
    await server.exited;
    const pidFile = join(layout().postgresDataDir, 'postmaster.pid');
    writeFileSync(pidFile, readFileSync(pidFile, 'utf8').replace(/^\d+/, String(process.pid)));
    expect(await query(await start(), 'select count(*)::int n from kept')).toEqual([{ n: 0 }]);
  });

  test('a half-made database of a killed first start is thrown away', async () => {
    const staging = `${layout().postgresDataDir}.new`;
    mkdirSync(staging, { recursive: true });
    chmodSync(layout().dataDir, 0o700);
    writeFileSync(join(staging, 'PG_VERSION'), '18');
    expect(await query(await start(), 'select 1 one')).toEqual([{ one: 1 }]);
    expect(existsSync(staging)).toBe(false);
  });
});
