/** Settings: one table, four sources, one result. */
export * from './resolve.ts';
export * from './settings.ts';
