/** What sandboxes are made of. */
export { parseBuildInfo } from './build-info.ts';
export { BuildLogUrls } from './build-logs.ts';
export { DEFAULT_RESOURCES } from './create-request.ts';
export { logRoutes } from './log-routes.ts';
export { SnapshotPulls } from './pulls.ts';
export { snapshotRoutes } from './routes.ts';
export { buildInfoDto, DEFAULT_USER, shownUser, type BuildInfo, type UsableSnapshot } from './snapshot.ts';
export { Snapshots, type SnapshotForCreate, type SnapshotSource } from './snapshots.ts';
export { ensureGeneralSnapshot, type GeneralSnapshot } from './store.ts';
