/** PostgreSQL: statements, transactions, notifications, named locks, schema. */
export { Database } from './database.ts';
export { Drives } from './drives.ts';
export { DatabaseUnavailable, isConnectionLoss, LockTimeout, sqlState, uniqueViolation } from './errors.ts';
export type { Subscription } from './listener.ts';
export type { LockOptions } from './lock-session.ts';
export { migrate, type Migration } from './migrate.ts';
export { MIGRATIONS } from './migrations/index.ts';
export { plan, unnamedPlan, type Plan, type Queryable } from './plan.ts';
