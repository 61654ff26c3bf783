/** Directories that outlive sandboxes and are shared between them. */
export { VolumeKeeper } from './keeper.ts';
export { nestedMounts, parseMounts, type RequestedMount } from './mounts.ts';
export { volumeRoutes } from './routes.ts';
export { VOLUMES_READY } from './store.ts';
export { Volumes } from './volumes.ts';
