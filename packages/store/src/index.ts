/** Where bytes live: blobs on disk or in S3, and the two protocols they are served by. */
export * from './blobs/blobs.ts';
export { DiskBlobs } from './blobs/disk/disk-blobs.ts';
