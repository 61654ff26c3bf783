import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { api, client, SDKS, unique, type Sandbox } from './support.ts';

describe.each(SDKS)('labels, list and pagination with %s', (_name, sdk) => {
  const run = unique('list');
  const made: Sandbox[] = [];

  beforeAll(async () => {
    const daytona = client(sdk);
    for (const i of [0, 1, 2, 3, 4]) {
      made.push(await daytona.create({ name: `${run}-${i}`, labels: { run, parity: i % 2 === 0 ? 'even' : 'odd' } }));
    }
    await made[4]!.stop();
  });

  afterAll(async () => {
    await Promise.all(made.map((sandbox) => sandbox.delete()));
  });

  async function names(query: object): Promise<string[]> {
    const all: string[] = [];
    for await (const sandbox of client(sdk).list(query as never)) all.push(sandbox.name.replace(`${run}-`, ''));
    return all.sort();
  }

  test('every label must match', async () => {
    expect(await names({ labels: { run } })).toEqual(['0', '1', '2', '3', '4']);
    expect(await names({ labels: { run, parity: 'odd' } })).toEqual(['1', '3']);
    expect(await names({ labels: { run, parity: 'neither' } })).toEqual([]);
  });

  test('pages follow one another without gap or repetition', async () => {
    expect(await names({ labels: { run }, limit: 2 })).toEqual(['0', '1', '2', '3', '4']);
    expect(await names({ labels: { run }, limit: 2, sort: 'name', order: 'asc' })).toEqual(['0', '1', '2', '3', '4']);
  });

  test('filters by state and name prefix', async () => {
    expect(await names({ labels: { run }, states: ['stopped'] })).toEqual(['4']);
    expect(await names({ name: `${run}-`, states: ['started'] })).toEqual(['0', '1', '2', '3']);
  });

  test('sort and order hold over pages', async () => {
    const page = (await (await api(`/sandbox?labels=${encodeURIComponent(JSON.stringify({ run }))}&sort=name&order=asc&limit=3`)).json()) as {
      items: Array<{ name: string }>; nextCursor: string | null;
    };
    expect(page.items.map((item) => item.name)).toEqual([0, 1, 2].map((i) => `${run}-${i}`));
    const rest = (await (await api(
      `/sandbox?labels=${encodeURIComponent(JSON.stringify({ run }))}&sort=name&order=asc&limit=3&cursor=${encodeURIComponent(page.nextCursor!)}`,
    )).json()) as typeof page;
    expect(rest.items.map((item) => item.name)).toEqual([3, 4].map((i) => `${run}-${i}`));
    expect(rest.nextCursor).toBeNull();
  });

  test('the deprecated paginated list counts', async () => {
    const page = (await (await api(`/sandbox/paginated?labels=${encodeURIComponent(JSON.stringify({ run }))}&page=2&limit=2`)).json()) as {
      items: unknown[]; total: number; page: number; totalPages: number;
    };
    expect([page.items.length, page.total, page.page, page.totalPages]).toEqual([2, 5, 2, 3]);
  });

  test.each(['limit=0', 'limit=201', 'limit=x', 'cursor=%00', 'labels=notjson', 'states=nosuch', 'sort=nosuch', 'minCpu=x', 'createdAtAfter=never'])(
    'bad query %s is 400', async (query) => {
      expect((await api(`/sandbox?${query}`)).status).toBe(400);
    });

  test('another organization sees none of it', async () => {
    const key = `dtn_${'f'.repeat(64)}`;
    expect((await api(`/sandbox/${made[0]!.id}`, { key })).status).toBe(401);
  });
});
