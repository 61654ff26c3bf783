/** Embedded PostgreSQL: the default database, and a real one for tests. */
export { type Postgres, type PostgresOptions, startPostgres } from './server.ts';
