/** Paddock's command line. Other packages' tests use its embedded PostgreSQL. */
export { startPostgres, type Postgres, type PostgresOptions } from './postgres/index.ts';
