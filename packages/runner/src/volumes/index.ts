/** Directories that outlive sandboxes and are shared between them. */
export { LocalVolumes } from './local.ts';
export { S3Volumes } from './s3.ts';
export { Volumes } from './volumes.ts';
export type { VolumeStore } from './store.ts';
