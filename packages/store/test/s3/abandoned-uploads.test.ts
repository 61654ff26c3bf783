import { CreateMultipartUploadCommand, ListPartsCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { createS3Server } from '@paddock/store';
import { expect, test, vi } from 'vitest';
import { listAll } from '../blobs/support.ts';
import { BUCKET, sdkClient, startS3 } from './support.ts';

test('an upload without a sign of life for a day is removed, a younger one and objects stay', async () => {
  await using s3 = await startS3();
  const client = sdkClient(s3.access());
  const Bucket = BUCKET;
  await client.send(new PutObjectCommand({ Bucket, Key: 'object', Body: 'x' }));
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }));
  await client.send(new UploadPartCommand({ Bucket, Key: 'k', UploadId, PartNumber: 1, Body: 'part' }));
  // Another start of the server, so many hours later.
  const later = (hours: number) => createS3Server({ blobs: s3.blobs, issuer: async () => s3.issuer, bucket: BUCKET, region: 'us-east-1', now: () => Date.now() + hours * 3600_000 });
  const first = later(23);
  await new Promise((resolve) => setTimeout(resolve, 200));
  first.close();
  expect((await client.send(new ListPartsCommand({ Bucket, Key: 'k', UploadId }))).Parts).toHaveLength(1);
  const second = later(25);
  await vi.waitFor(async () => expect((await listAll(s3.blobs, '')).keys).toEqual(['object']), 5000);
  second.close();
  await expect(client.send(new ListPartsCommand({ Bucket, Key: 'k', UploadId }))).rejects.toMatchObject({ name: 'NoSuchUpload' });
});
