import { randomUUID } from 'node:crypto';
import { PaginatedSnapshots, SnapshotDto } from '@paddock/contract';
import pg from 'pg';
import { Check } from 'typebox/value';
import { unnamedPlan } from '../src/db/index.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

let database: TestDatabase;
let url: string;
let control: TestControl;
let organizationId: string;
let client: pg.Client;
beforeAll(async () => {
  database = await startTestDatabase();
  url = await database.create();
  control = await startTestControl(url);
  organizationId = (await control.call('GET', '/api/organizations')).body[0].id;
  client = new pg.Client(url);
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await control?.close();
  await database?.stop();
});

async function insert(name: string, fields: Record<string, unknown> = {}): Promise<string> {
  const row: Record<string, unknown> = {
    id: randomUUID(), organization_id: organizationId, name, image: `image-${name}`, state: 'active', cpu: 1, memory_gib: 1, disk_gib: 3, region_ids: ['us'], ...fields,
  };
  const keys = Object.keys(row);
  await client.query(`INSERT INTO snapshots (${keys.join(', ')}) VALUES (${keys.map((_, i) => `$${i + 1}`).join(', ')})`, Object.values(row));
  return row.id as string;
}

/** Another user's organization. */
async function otherOrganization(): Promise<string> {
  await client.query("INSERT INTO users (id, name, email) VALUES ('other', 'Other', 'other@test.invalid') ON CONFLICT DO NOTHING");
  const { rows } = await client.query(`INSERT INTO organizations (id, name, created_by, max_cpu_per_sandbox, max_memory_per_sandbox, max_disk_per_sandbox,
    snapshot_quota, volume_quota, secret_quota, max_secrets_per_sandbox, snapshot_deactivation_timeout_minutes)
    VALUES (gen_random_uuid(), 'Other', 'other', 1, 1, 1, 1, 1, 1, 1, 1) RETURNING id`);
  return rows[0].id as string;
}

const ids = async (query = '') => (await control.call('GET', `/api/snapshots${query}`)).body.items.map((item: { id: string }) => item.id) as string[];
const names = async (query = '') => (await control.call('GET', `/api/snapshots${query}`)).body.items.map((item: { name: string }) => item.name) as string[];

test('the default snapshots exist in the documented sizes and follow the image', async () => {
  const before = await control.call('GET', '/api/snapshots/daytona-medium');
  expect(Check(SnapshotDto, before.body)).toBe(true);
  expect(before.body).toMatchObject({ general: true, cpu: 2, mem: 4, disk: 8, gpu: 0, state: 'pending', size: null, errorReason: null, entrypoint: null, sandboxClass: 'container', regionIds: ['us'] });
  const { images, db } = control.context;
  await db.run(unnamedPlan(`insert into images (name, source, state) values ('slim', '{"kind":"recipe"}', 'pending')`));
  const medium = async () => (await control.call('GET', '/api/snapshots/daytona-medium')).body;
  await images.move('slim', 'prepare');
  expect(await medium()).toMatchObject({ state: 'pulling' });
  const { rows } = await client.query(`select detail->'payload'->>'oldState' as old, detail->'payload'->>'newState' as new from outbox where event = 'snapshot.state.updated'`);
  expect(rows.map((row) => `${row.old}>${row.new}`)).toEqual(['pending>pulling', 'pending>pulling', 'pending>pulling']);
  await images.move('slim', 'fail', { reason: 'no room' });
  expect(await medium()).toMatchObject({ state: 'error', errorReason: 'no room' });
  await images.move('slim', 'ready', { reason: null, sizeBytes: 512 * 1024 ** 2 });
  expect(await medium()).toMatchObject({ state: 'active', errorReason: null, size: 0.5 });
  // The runner makes a lost image again: sandboxes wait for it, so the snapshot stays usable.
  await images.move('slim', 'lost');
  expect(await medium()).toMatchObject({ state: 'active' });
});

describe('one snapshot', () => {
  test('by id and by name, whatever characters the name has', async () => {
    for (const name of ['plain', 'team/image:1.2', 'repo@sha256:0', 'with space']) {
      const id = await insert(name);
      expect((await control.call('GET', `/api/snapshots/${encodeURIComponent(name)}`)).body.id, name).toBe(id);
      expect((await control.call('GET', `/api/snapshots/${id}`)).body.name).toBe(name);
      expect((await control.call('GET', `/api/snapshots/${id.toUpperCase()}`)).body.name).toBe(name);
    }
  });

  test('a name that looks like an id is found too', async () => {
    const name = randomUUID();
    const id = await insert(name);
    expect((await control.call('GET', `/api/snapshots/${name}`)).body.id).toBe(id);
    const dashes = '-'.repeat(36);
    await insert(dashes);
    expect((await control.call('GET', `/api/snapshots/${dashes}`)).status).toBe(200);
  });

  test('unknown and foreign ones are 404, general ones of others are seen, one\'s own come first', async () => {
    const other = await otherOrganization();
    await insert('foreign', { organization_id: other });
    await insert('published', { organization_id: other, general: true });
    await insert('both', { organization_id: other, general: true, cpu: 9 });
    await insert('both', { cpu: 2 });
    for (const id of ['foreign', 'unknown', randomUUID()]) {
      const reply = await control.call('GET', `/api/snapshots/${id}`);
      expect(reply.status).toBe(404);
      expect(reply.body.message).toBe(`Snapshot with ID or name ${id} not found`);
    }
    expect((await control.call('GET', '/api/snapshots/published')).status).toBe(200);
    expect((await control.call('GET', '/api/snapshots/both')).body.cpu).toBe(2);
  });
});

describe('what a create may use', () => {
  const find = (name: string, region = 'us') => control.context.snapshots.findForCreate(organizationId, name, region);

  test('an active one in the region', async () => {
    expect(await find('daytona-large')).toMatchObject({ snapshot: { name: 'daytona-large', image: 'slim', cpu: 4, memoryGiB: 8, diskGiB: 10 } });
  });

  test('everything else is a 400 with the wire\'s sentence', async () => {
    await insert('sleeping', { state: 'inactive' });
    expect(await find('unheard')).toEqual({ status: 400, problem: 'Snapshot unheard not found. Did you add it through the Daytona Dashboard?' });
    expect(await find('sleeping')).toEqual({ status: 400, problem: 'Snapshot sleeping is inactive' });
    expect(await find('daytona-small', 'eu')).toEqual({ status: 400, problem: 'Snapshot daytona-small is not available in region eu' });
  });

  test('use is recorded', async () => {
    const found = await find('plain');
    if (!('snapshot' in found)) throw new Error('not found');
    await control.context.snapshots.recordUse(found.snapshot.id);
    expect((await control.call('GET', '/api/snapshots/plain')).body.lastUsedAt).not.toBeNull();
  });
});

describe('the list', () => {
  test('has pages; a page beyond the end is empty but knows the total', async () => {
    const first = await control.call('GET', '/api/snapshots?limit=2');
    expect(Check(PaginatedSnapshots, first.body)).toBe(true);
    const { total } = first.body;
    expect(first.body).toMatchObject({ page: 1, totalPages: Math.ceil(total / 2) });
    expect(first.body.items).toHaveLength(2);
    expect((await control.call('GET', '/api/snapshots?limit=2&page=999')).body).toEqual({ items: [], total, page: 999, totalPages: Math.ceil(total / 2) });
    const all: string[] = [];
    for (let page = 1; page <= first.body.totalPages; page++) all.push(...(await ids(`?limit=2&page=${page}`)));
    expect(new Set(all).size).toBe(total);
  });

  test('filters by part of the name, literally', async () => {
    expect(await names('?name=DAYTONA&sort=name&order=asc')).toEqual(['daytona-large', 'daytona-medium', 'daytona-small']);
    expect(await names('?name=%25')).toEqual([]);
    expect(await names('?name=_')).toEqual([]);
  });

  test('general ones come last, hidden ones never', async () => {
    await insert('hidden', { hide_from_users: true });
    const sorted = await names('?sort=name&order=asc&limit=200');
    expect(sorted).not.toContain('hidden');
    expect(sorted.slice(-4)).toEqual(['daytona-large', 'daytona-medium', 'daytona-small', 'published'].toSorted());
    expect((await control.call('GET', '/api/snapshots/hidden')).status).toBe(200);
  });

  test('sorts by every documented field, descending unless said otherwise', async () => {
    for (const sort of ['name', 'state', 'lastUsedAt', 'createdAt']) {
      const down = await names(`?sort=${sort}`);
      expect(down.length).toBeGreaterThan(3);
      expect((await names(`?sort=${sort}&order=asc`)).length).toBe(down.length);
    }
    const own = (list: string[]) => list.filter((name) => ['plain', 'team/image:1.2'].includes(name));
    expect(own(await names('?sort=name&order=asc'))).toEqual(['plain', 'team/image:1.2']);
    expect(own(await names('?sort=name'))).toEqual(['team/image:1.2', 'plain']);
    expect((await names())[0]).toBe('plain'); // the only one that was used
  });

  test('filters by source sandbox', async () => {
    await insert('child', { source_sandbox_id: 'parent-1' });
    expect(await names('?sourceSandboxId=parent-1')).toEqual(['child']);
  });

  test('bad parameters are 400', async () => {
    for (const query of ['page=0', 'page=x', 'page=1.5', 'limit=0', 'limit=201', 'limit=NaN', 'sort=size', 'order=up', `name=${'x'.repeat(2000)}`, 'page=99999999999']) {
      const reply = await control.call('GET', `/api/snapshots?${query}`);
      expect(reply.status, query).toBe(400);
      expect(reply.body.message).toContain(query.split('=')[0]);
    }
  });

  test('needs a credential', async () => {
    expect((await control.call('GET', '/api/snapshots', { key: null })).status).toBe(401);
    expect((await control.call('GET', '/api/snapshots/plain', { key: null })).status).toBe(401);
  });
});
