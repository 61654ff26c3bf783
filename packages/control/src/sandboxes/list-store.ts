import { unnamedPlan, type Queryable } from '../db/index.ts';
import { SANDBOX } from './columns.ts';
import type { Cursor, ListQuery, PageQuery } from './list-query.ts';
import type { Sandbox } from './sandbox.ts';
import { isUuid } from './store.ts';

/** Column of each sort of the cursor list, and its type, to which a cursor's value is cast. */
const LIST_SORTS = {
  name: ['s.name', 'text'],
  cpu: ['s.cpu', 'integer'],
  memoryGib: ['s.memory', 'integer'],
  diskGib: ['s.disk', 'integer'],
  lastActivityAt: ['s.last_activity_at', 'timestamptz'],
  createdAt: ['s.created_at', 'timestamptz'],
} as const;

const PAGE_SORTS = {
  id: 's.id', name: 's.name', state: 's.state', snapshot: 's.snapshot', region: 's.region_id', updatedAt: 's.updated_at', createdAt: 's.created_at',
  lastActivityAt: 's.last_activity_at',
} as const;

export interface ListPage {
  readonly items: readonly Sandbox[];
  readonly next: Cursor | null;
}

/** The lists: filters become one WHERE clause with the values apart from the text. */
export class ListStore {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** @param labels already parsed @param limit rows of a page */
  async list(organizationId: string, query: ListQuery, labels: Record<string, string> | null, cursor: Cursor | null, limit: number): Promise<ListPage> {
    const sort = query.sort ?? 'lastActivityAt';
    const [column, type] = LIST_SORTS[sort];
    const direction = query.order === 'asc' ? 'asc' : 'desc';
    const where = new Where(organizationId);
    addFilters(where, query, labels);
    where.anyOf('s.region_id', query.regionIds);
    where.anyOf(`'container'`, query.sandboxClasses);
    where.equal('s.public', query.isPublic);
    where.equal('s.recoverable', query.isRecoverable);
    where.range('s.created_at', query.createdAtAfter, query.createdAtBefore);
    where.range('s.auto_destroy_at', query.autoDestroyAtAfter, query.autoDestroyAtBefore);
    if (cursor) where.add((value) => `(${column}, s.id) ${direction === 'asc' ? '>' : '<'} (${value(cursor.sortValue)}::${type}, ${value(cursor.id)}::uuid)`);
    const rows = await this.#db.query(unnamedPlan<Sandbox>(
      `select ${SANDBOX} from sandboxes s where ${where.text} order by ${column} ${direction}, s.id ${direction} limit ${limit + 1}`, where.values,
    ));
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    return { items, next: rows.length > limit && last ? { sortValue: sortValueOf(last, sort), id: last.id } : null };
  }

  async page(organizationId: string, query: PageQuery, labels: Record<string, string> | null, page: number, limit: number): Promise<{ items: readonly Sandbox[]; total: number }> {
    const where = new Where(organizationId);
    addFilters(where, query, labels);
    where.anyOf('s.region_id', query.regions);
    const column = PAGE_SORTS[query.sort ?? 'createdAt'];
    const direction = query.order === 'asc' ? 'asc' : 'desc';
    const [count, items] = await Promise.all([
      this.#db.one(unnamedPlan<{ total: number }>(`select count(*)::int as total from sandboxes s where ${where.text}`, where.values)),
      this.#db.query(unnamedPlan<Sandbox>(
        `select ${SANDBOX} from sandboxes s where ${where.text} order by ${column} ${direction}, s.id ${direction} limit ${limit} offset ${(page - 1) * limit}`,
        where.values,
      )),
    ]);
    return { items, total: count?.total ?? 0 };
  }
}

function addFilters(where: Where, query: ListQuery | PageQuery, labels: Record<string, string> | null): void {
  const { id, name } = query;
  // A whole id is looked up by the primary key.
  if (id) where.add((value) => (isUuid(id) ? `s.id = ${value(id)}` : `starts_with(s.id::text, lower(${value(id)}))`));
  if (name) where.add((value) => `starts_with(lower(s.name), lower(${value(name)}))`);
  if (labels) where.add((value) => `s.labels @> ${value(JSON.stringify(labels))}::jsonb`);
  where.anyOf('s.state', query.states);
  where.anyOf('s.snapshot', query.snapshots);
  where.range('s.cpu', query.minCpu, query.maxCpu);
  where.range('s.memory', query.minMemoryGiB, query.maxMemoryGiB);
  where.range('s.disk', query.minDiskGiB, query.maxDiskGiB);
  where.range('s.last_activity_at', query.lastEventAfter, query.lastEventBefore);
}

function sortValueOf(sandbox: Sandbox, sort: keyof typeof LIST_SORTS): string | number {
  switch (sort) {
    case 'name': return sandbox.name;
    case 'cpu': return sandbox.cpu;
    case 'memoryGib': return sandbox.memory;
    case 'diskGib': return sandbox.disk;
    case 'lastActivityAt': return sandbox.lastActivityAt.toISOString();
    case 'createdAt': return sandbox.createdAt.toISOString();
  }
}

/** Conditions joined by AND, their values numbered as they come. */
class Where {
  readonly values: unknown[];
  readonly #conditions = ['s.organization_id = $1', `s.state <> 'destroyed'`];

  constructor(organizationId: string) {
    this.values = [organizationId];
  }

  get text(): string {
    return this.#conditions.join(' and ');
  }

  add(condition: (value: (given: unknown) => string) => string): void {
    this.#conditions.push(condition((given) => `$${this.values.push(given)}`));
  }

  anyOf(column: string, list: readonly string[] | undefined): void {
    if (list && list.length > 0) this.add((value) => `${column} = any(${value(list)}::text[])`);
  }

  equal(column: string, wanted: boolean | undefined): void {
    if (wanted !== undefined) this.add((value) => `${column} = ${value(wanted)}`);
  }

  range(column: string, from: string | number | undefined, to: string | number | undefined): void {
    // Integer columns are compared with fractions as such.
    const cast = typeof (from ?? to) === 'number' ? '::float8' : '';
    if (from !== undefined) this.add((value) => `${column} >= ${value(from)}${cast}`);
    if (to !== undefined) this.add((value) => `${column} <= ${value(to)}${cast}`);
  }
}
