import { SANDBOX_STATES } from '@paddock/contract';
import { Type, type Static } from 'typebox';

/** Query strings of the two lists. Arrays come as repeated keys; texts become what their schema says before they get here. */

const optional = Type.Optional;
const atLeastOne = optional(Type.Number({ minimum: 1 }));
const texts = optional(Type.Array(Type.String()));
const date = optional(Type.String({ format: 'date-time' }));
const order = optional(Type.Enum(['asc', 'desc']));

const FILTERS = {
  id: optional(Type.String()),
  name: optional(Type.String()),
  labels: optional(Type.String({ description: 'JSON object; all of its pairs must match' })),
  includeErroredDeleted: optional(Type.Boolean()),
  /** wire: destroyed ones cannot be asked for. */
  states: optional(Type.Array(Type.Enum(SANDBOX_STATES.filter((state) => state !== 'destroyed')))),
  snapshots: texts,
  minCpu: atLeastOne,
  maxCpu: atLeastOne,
  minMemoryGiB: atLeastOne,
  maxMemoryGiB: atLeastOne,
  minDiskGiB: atLeastOne,
  maxDiskGiB: atLeastOne,
  lastEventAfter: date,
  lastEventBefore: date,
};

export const ListQuery = Type.Object({
  ...FILTERS,
  cursor: optional(Type.String()),
  limit: optional(Type.Integer({ minimum: 1, maximum: 200 })),
  regionIds: texts,
  sandboxClasses: texts,
  includeWarm: optional(Type.Boolean()),
  isPublic: optional(Type.Boolean()),
  isRecoverable: optional(Type.Boolean()),
  createdAtAfter: date,
  createdAtBefore: date,
  autoDestroyAtAfter: date,
  autoDestroyAtBefore: date,
  sort: optional(Type.Enum(['name', 'cpu', 'memoryGib', 'diskGib', 'lastActivityAt', 'createdAt'])),
  order,
});
export type ListQuery = Static<typeof ListQuery>;

export const PageQuery = Type.Object({
  ...FILTERS,
  page: optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  limit: optional(Type.Integer({ minimum: 1, maximum: 200 })),
  regions: texts,
  sort: optional(Type.Enum(['id', 'name', 'state', 'snapshot', 'region', 'updatedAt', 'createdAt', 'lastActivityAt'])),
  order,
});
export type PageQuery = Static<typeof PageQuery>;

/** Where a page of the cursor list goes on. wire: base64 of JSON {sortValue, id}, opaque to clients. */
export interface Cursor {
  readonly sortValue: string | number;
  readonly id: string;
}

export function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64');
}

/** @returns null when it is not one of ours */
export function decodeCursor(text: string): Cursor | null {
  try {
    const { sortValue, id } = JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as Partial<Cursor>;
    const hasValue = typeof sortValue === 'string' || (typeof sortValue === 'number' && Number.isFinite(sortValue));
    return hasValue && typeof id === 'string' ? { sortValue, id } : null;
  } catch {
    return null; // not base64 of JSON
  }
}
