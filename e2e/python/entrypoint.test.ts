import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

const SNAPSHOT = 'python-entrypoint';
const ENTRYPOINT = ['sh', '-c', 'echo begun; echo oops >&2; until [ -e /tmp/go ]; do sleep 0.05; done; echo over; exit 4'];

test('the entrypoint by the Python SDK: its session, its logs and their stream', async ({ skip }) => {
  await copyOfDefault();
  const seen = {
    session: ['entrypoint', [['entrypoint_command', null]]], reserved: ['DaytonaBadRequestError', 'DaytonaBadRequestError'], listed: 0,
    begun: ['begun\n', 'oops\n'], followed: ['begun\nover\n', 'oops\n'], exit: 4,
  };
  expect(await drive('entrypoint.py', skip, SNAPSHOT)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);

/** The default snapshot under another name and with an entrypoint, which spares the test to build an image. */
async function copyOfDefault(): Promise<void> {
  const client = new pg.Client({ host: inject('postgresSocketDir'), user: 'paddock', database: 'paddock' });
  await client.connect();
  await client.query(`
    insert into snapshots select (jsonb_populate_record(of, $1::jsonb || jsonb_build_object('id', gen_random_uuid()))).*
    from snapshots of where name = 'daytona-small' limit 1 on conflict do nothing`, [JSON.stringify({ name: SNAPSHOT, entrypoint: ENTRYPOINT })]);
  await client.end();
}
