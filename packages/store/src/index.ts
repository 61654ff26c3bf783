/** Where bytes live: blobs on disk or in S3, and the two protocols they are served by. */
export * from './blobs/blobs.ts';
export { DiskBlobs } from './blobs/disk/disk-blobs.ts';
export { CredentialIssuer, type ObjectAction, type ObjectScope, type S3Credentials } from './s3/credentials.ts';
export { presignedGet } from './s3/presign.ts';
export * from './registry/index.ts';
