/** Paddock's command line; what scripts and other packages' tests use of it. */
export { resolveConfig } from './config/index.ts';
export { describeTrace, destroyInstance, findCgroups, findTraces, type Trace } from './instance/index.ts';
export { type ProcessIdentity, isAlive } from './host/process-identity.ts';
export { startPostgres, type Postgres, type PostgresOptions } from './postgres/index.ts';
export { progressLine } from './supervisor/output.ts';
export { type InstanceState, readState, runningInstance } from './supervisor/state-file.ts';
