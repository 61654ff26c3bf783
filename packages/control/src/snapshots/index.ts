/** What sandboxes are made of. */
export { snapshotRoutes } from './routes.ts';
export { Snapshots, type SnapshotChange, type SnapshotForCreate, type UsableSnapshot } from './snapshots.ts';
export { ensureGeneralSnapshot, type GeneralSnapshot } from './store.ts';
