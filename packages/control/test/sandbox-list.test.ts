import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPlane, stopPlane, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Both lists: filters, sorts, pages. */
let database: TestDatabase;
let plane: TestPlane;

beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
  for (let i = 0; i < 6; i++) {
    await plane.create({
      name: `box-${i}`, labels: { parity: i % 2 ? 'odd' : 'even', i: String(i) }, public: i < 2, snapshot: i < 3 ? 'daytona-small' : 'daytona-medium',
    });
  }
  await plane.create({ name: 'Other_%' });
  await plane.call('POST', '/api/sandbox/box-5/stop');
});
afterAll(async () => {
  await stopPlane(plane);
  await database.stop();
});

const list = async (query: string): Promise<string[]> => {
  const { status, body } = await plane.call('GET', `/api/sandbox?${query}`);
  if (status !== 200) throw new Error(`${status} ${body.message}`);
  return body.items.map((item: { name: string }) => item.name);
};

test.each([
  ['name=BOX-1', ['box-1']],
  ['name=other_%25', ['Other_%']],
  ['name=ox', []],
  ['labels=%7B%22parity%22%3A%22odd%22%7D&sort=name&order=asc', ['box-1', 'box-3', 'box-5']],
  ['states=stopped', ['box-5']],
  ['states=stopped&states=error', ['box-5']],
  ['states[]=stopped', ['box-5']],
  ['snapshots=daytona-medium&sort=name&order=asc', ['box-3', 'box-4', 'box-5']],
  ['minCpu=2&sort=name&order=desc', ['box-5', 'box-4', 'box-3']],
  ['maxMemoryGiB=1&minDiskGiB=2.5&name=box&sort=name&order=asc', ['box-0', 'box-1', 'box-2']],
  ['isPublic=true&sort=createdAt&order=asc', ['box-0', 'box-1']],
  ['isRecoverable=true', []],
  ['regionIds=elsewhere', []],
  ['sandboxClasses=linux-vm', []],
  ['createdAtAfter=2999-01-01T00:00:00Z', []],
  ['limit=200&includeWarm=true&includeErroredDeleted=false&sort=name&order=asc', ['box-0', 'box-1', 'box-2', 'box-3', 'box-4', 'box-5', 'Other_%'].sort()],
])('GET /sandbox?%s', async (query, names) => {
  const found = await list(query);
  expect(query.includes('sort') ? found : found.sort()).toEqual(names);
});

test.each(['name', 'cpu', 'memoryGib', 'diskGib', 'lastActivityAt', 'createdAt'])('pages by %s cover everything once, in both directions', async (sort) => {
  for (const order of ['asc', 'desc']) {
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body } = await plane.call('GET', `/api/sandbox?limit=2&sort=${sort}&order=${order}&cursor=${encodeURIComponent(cursor)}`);
      expect(body.items.length).toBeLessThanOrEqual(2);
      seen.push(...body.items.map((item: { name: string }) => item.name));
      cursor = body.nextCursor;
    }
    expect(seen.length).toBe(7);
    expect(new Set(seen).size).toBe(7);
  }
});

test('list items have what clients require and no environment', async () => {
  const { body } = await plane.call('GET', '/api/sandbox?name=box-0');
  expect(body.items[0]).toMatchObject({
    id: expect.any(String), organizationId: expect.any(String), name: 'box-0', user: 'daytona', labels: { i: '0' }, target: 'us', public: true, networkBlockAll: false,
    cpu: 1, gpu: 0, memory: 1, disk: 3, toolboxProxyUrl: 'http://localhost:3000/toolbox',
  });
  expect(body.items[0]).not.toHaveProperty('env');
});

test('the paginated list for older clients', async () => {
  const { body } = await plane.call('GET', '/api/sandbox/paginated?page=2&limit=3&sort=name&order=asc');
  expect(body).toMatchObject({ total: 7, page: 2, totalPages: 3 });
  expect(body.items).toHaveLength(3);
  expect(body.items[0]).toHaveProperty('env');
  expect((await plane.call('GET', '/api/sandbox/paginated?regions=elsewhere')).body).toMatchObject({ items: [], total: 0, totalPages: 0 });
});

test.each(['limit=0', 'limit=201', 'limit=x', 'cursor=bm90IGpzb24=', 'cursor=%00', 'labels=x', 'labels=[1]', 'states=destroyed', 'states=nonsense', 'sort=size', 'order=up', 'isPublic=perhaps', 'createdAtAfter=yesterday', 'minCpu=0'])(
  '400 for GET /sandbox?%s', async (query) => {
    expect((await plane.call('GET', `/api/sandbox?${query}`)).status).toBe(400);
  },
);

test('a cursor whose value does not fit its sort is 400', async () => {
  const cursor = Buffer.from(JSON.stringify({ sortValue: 'x', id: 'y' })).toString('base64');
  expect((await plane.call('GET', `/api/sandbox?sort=cpu&cursor=${cursor}`)).status).toBe(400);
});
