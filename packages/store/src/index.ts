/** Where bytes live: blobs on disk or in S3, and the two protocols they are served by. */
export * from './blobs/blobs.ts';
export { DiskBlobs } from './blobs/disk/disk-blobs.ts';
export { CredentialIssuer, type ObjectAction, type ObjectScope, type S3Credentials } from './s3/credentials.ts';
export { presignedGet } from './s3/client/presign.ts';
export * from './registry/index.ts';
export { createS3Server, type S3Event, type S3Server, type S3ServerOptions } from './s3/server/handler.ts';
export { openBlobs, S3Blobs } from './s3/client/s3-blobs.ts';
export { assumeRole, type StsOptions } from './s3/client/sts.ts';
