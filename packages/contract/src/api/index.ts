/** Schemas of the control plane's requests and replies, one file a domain. */
export * from './common.ts';
export * from './api-keys.ts';
export * from './configuration.ts';
export * from './docker-registries.ts';
export * from './object-storage.ts';
export * from './organizations.ts';
export * from './regions.ts';
export * from './snapshots.ts';
export * from './users.ts';
export * from './volumes.ts';
