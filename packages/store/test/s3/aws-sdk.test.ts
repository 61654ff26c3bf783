import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CopyObjectCommand, CreateMultipartUploadCommand, DeleteObjectCommand, DeleteObjectsCommand, GetBucketLocationCommand,
  GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListBucketsCommand, ListMultipartUploadsCommand, ListObjectsCommand, ListObjectsV2Command, ListPartsCommand, paginateListObjectsV2,
  PutObjectCommand, type S3Client, UploadPartCommand, UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BUCKET, sdkClient, startS3, type TestS3 } from './support.ts';

let s3: TestS3;
let client: S3Client;
beforeAll(async () => {
  s3 = await startS3();
  client = sdkClient(s3.access());
});
afterAll(async () => {
  client.destroy();
  await s3[Symbol.asyncDispose]();
});

const Bucket = BUCKET;
const md5 = (content: Buffer) => createHash('md5').update(content).digest('hex');
const bodyOf = async (Key: string, Range?: string) => Buffer.from(await (await client.send(new GetObjectCommand({ Bucket, Key, Range }))).Body!.transformToByteArray());

test('buckets: one, found by every question', async () => {
  expect((await client.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name)).toEqual([BUCKET]);
  await client.send(new HeadBucketCommand({ Bucket }));
  await client.send(new GetBucketLocationCommand({ Bucket }));
  await expect(client.send(new HeadBucketCommand({ Bucket: 'another' }))).rejects.toMatchObject({ $metadata: { httpStatusCode: 404 } });
});

test('an object with everything that belongs to it comes back', async () => {
  const Body = randomBytes(200_000);
  const Key = 'dir/ä ö+%/x?y&z=#~!*\'().bin';
  const put = await client.send(new PutObjectCommand({ Bucket, Key, Body, ContentType: 'text/plain; charset=utf-8', CacheControl: 'no-store', ContentEncoding: 'gzip', ContentDisposition: 'attachment', Metadata: { colour: 'blue', 'two-words': 'a b' } }));
  expect(put.ETag).toBe(`"${md5(Body)}"`);
  const got = await client.send(new GetObjectCommand({ Bucket, Key }));
  expect(Buffer.from(await got.Body!.transformToByteArray()).equals(Body)).toBe(true);
  const wanted = { ContentType: 'text/plain; charset=utf-8', CacheControl: 'no-store', ContentEncoding: 'gzip', ContentDisposition: 'attachment', Metadata: { colour: 'blue', 'two-words': 'a b' }, ContentLength: 200_000, ETag: `"${md5(Body)}"` };
  expect(got).toMatchObject(wanted);
  expect(await client.send(new HeadObjectCommand({ Bucket, Key }))).toMatchObject(wanted);
  expect(await bodyOf(Key, 'bytes=10-19')).toEqual(Body.subarray(10, 20));
  expect(await bodyOf(Key, 'bytes=-5')).toEqual(Body.subarray(-5));
  expect(await bodyOf(Key, 'bytes=199990-')).toEqual(Body.subarray(-10));
  await client.send(new DeleteObjectCommand({ Bucket, Key }));
  await client.send(new DeleteObjectCommand({ Bucket, Key }));
  await expect(client.send(new GetObjectCommand({ Bucket, Key }))).rejects.toMatchObject({ name: 'NoSuchKey' });
  await expect(client.send(new HeadObjectCommand({ Bucket, Key }))).rejects.toMatchObject({ name: 'NotFound' });
});

test.for(['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const)('%s is checked and given back, in the header and behind a stream', async (ChecksumAlgorithm) => {
  const Body = randomBytes(100_001);
  const field = `Checksum${ChecksumAlgorithm}` as const;
  const put = await client.send(new PutObjectCommand({ Bucket, Key: 'sum', Body, ChecksumAlgorithm }));
  const stream = await client.send(new PutObjectCommand({ Bucket, Key: 'sum-stream', Body: Readable.from([Body]), ContentLength: Body.length, ChecksumAlgorithm }));
  expect(put[field]).toBeTruthy();
  expect(stream[field]).toBe(put[field]);
  const got = await client.send(new GetObjectCommand({ Bucket, Key: 'sum', ChecksumMode: 'ENABLED' }));
  expect(got[field]).toBe(put[field]);
  expect(Buffer.from(await got.Body!.transformToByteArray()).equals(Body)).toBe(true); // the SDK compares the checksum
});

test('a wrong checksum stores nothing', async () => {
  await expect(client.send(new PutObjectCommand({ Bucket, Key: 'wrong', Body: 'content', ChecksumCRC32: 'AAAAAA==' }))).rejects.toMatchObject({ name: 'BadDigest' });
  await expect(client.send(new HeadObjectCommand({ Bucket, Key: 'wrong' }))).rejects.toMatchObject({ name: 'NotFound' });
});

test('listings: pages, prefixes, both versions', async () => {
  const keys = Array.from({ length: 23 }, (_, i) => `list/${i % 3}/${String(i).padStart(2, '0')} &<>"'`);
  await Promise.all(keys.map((Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }))));
  const found: string[] = [];
  for await (const page of paginateListObjectsV2({ client, pageSize: 4 }, { Bucket, Prefix: 'list/' })) found.push(...(page.Contents ?? []).map(({ Key }) => Key!));
  expect(found).toEqual([...keys].sort());
  const folded = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'list/', Delimiter: '/' }));
  expect(folded.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['list/0/', 'list/1/', 'list/2/']);
  expect(folded).toMatchObject({ KeyCount: 3, IsTruncated: false });
  const old = await client.send(new ListObjectsCommand({ Bucket, Prefix: 'list/', Delimiter: '/', MaxKeys: 2 }));
  expect(old).toMatchObject({ IsTruncated: true, NextMarker: 'list/1/' });
  const rest = await client.send(new ListObjectsCommand({ Bucket, Prefix: 'list/', Delimiter: '/', Marker: old.NextMarker }));
  expect(rest.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['list/2/']);
  expect((await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'list/', StartAfter: found[20] }))).Contents?.map(({ Key }) => Key)).toEqual(found.slice(21));
  expect(await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'list/', MaxKeys: 0 }))).toMatchObject({ KeyCount: 0, IsTruncated: false });
  const gone = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [...keys, 'list/never'].map((Key) => ({ Key })) } }));
  expect(gone.Deleted).toHaveLength(24);
  expect((await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'list/' }))).KeyCount).toBe(0);
});

test('multipart: a stream of unknown length by the upload manager', async () => {
  const content = randomBytes(13 * 1024 ** 2);
  const Body = Readable.from((function* () { for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000); })());
  const done = await new Upload({ client, params: { Bucket, Key: 'big', Body, ContentType: 'a/b', Metadata: { a: 'b' } } }).done();
  expect(done.ETag).toMatch(/^"[0-9a-f]{32}-3"$/);
  expect((await bodyOf('big')).equals(content)).toBe(true);
  expect(await client.send(new HeadObjectCommand({ Bucket, Key: 'big' }))).toMatchObject({ ContentType: 'a/b', Metadata: { a: 'b' }, ContentLength: content.length, ETag: done.ETag });
  expect((await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'big' }))).Contents).toMatchObject([{ Key: 'big', Size: content.length, ETag: done.ETag }]);
});

test('multipart by hand: parts and uploads are listed, completed once, abandoned without a trace', async () => {
  const part = randomBytes(5 * 1024 ** 2);
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts/x' }));
  const send = async (PartNumber: number, Body: Buffer) => (await client.send(new UploadPartCommand({ Bucket, Key: 'parts/x', UploadId, PartNumber, Body }))).ETag!;
  await send(3, Buffer.from('replaced'));
  const [one, three] = [await send(1, part), await send(3, Buffer.from('end'))];
  await client.send(new PutObjectCommand({ Bucket, Key: 'parts/source', Body: part }));
  const two = (await client.send(new UploadPartCopyCommand({ Bucket, Key: 'parts/x', UploadId, PartNumber: 2, CopySource: `${BUCKET}/parts/source` }))).CopyPartResult!.ETag!;
  const four = (await client.send(new UploadPartCopyCommand({ Bucket, Key: 'parts/x', UploadId, PartNumber: 4, CopySource: `${BUCKET}/parts/source`, CopySourceRange: 'bytes=0-9' }))).CopyPartResult!.ETag!;
  const listed = await client.send(new ListPartsCommand({ Bucket, Key: 'parts/x', UploadId, MaxParts: 2 }));
  expect(listed).toMatchObject({ IsTruncated: true, NextPartNumberMarker: '2', Parts: [{ PartNumber: 1, ETag: one, Size: part.length }, { PartNumber: 2, ETag: two }] });
  expect((await client.send(new ListPartsCommand({ Bucket, Key: 'parts/x', UploadId, PartNumberMarker: '2' }))).Parts?.map(({ PartNumber }) => PartNumber)).toEqual([3, 4]);
  expect((await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'parts/' }))).Uploads).toMatchObject([{ Key: 'parts/x', UploadId }]);

  const complete = (...Parts: { PartNumber: number; ETag: string }[]) => client.send(new CompleteMultipartUploadCommand({ Bucket, Key: 'parts/x', UploadId, MultipartUpload: { Parts } }));
  await expect(complete({ PartNumber: 2, ETag: two }, { PartNumber: 1, ETag: one })).rejects.toMatchObject({ name: 'InvalidPartOrder' });
  await expect(complete({ PartNumber: 1, ETag: two.replace(/[0-9a-f]/, 'x') })).rejects.toMatchObject({ name: 'InvalidPart' });
  await expect(complete({ PartNumber: 1, ETag: one }, { PartNumber: 7, ETag: one })).rejects.toMatchObject({ name: 'InvalidPart' });
  await expect(complete({ PartNumber: 3, ETag: three }, { PartNumber: 4, ETag: four })).rejects.toMatchObject({ name: 'EntityTooSmall' });
  const done = await complete({ PartNumber: 1, ETag: one }, { PartNumber: 2, ETag: two }, { PartNumber: 3, ETag: three });
  expect((await bodyOf('parts/x')).equals(Buffer.concat([part, part, Buffer.from('end')]))).toBe(true);
  // A client that did not hear the answer asks again.
  expect((await complete({ PartNumber: 1, ETag: one }, { PartNumber: 2, ETag: two }, { PartNumber: 3, ETag: three })).ETag).toBe(done.ETag);
  await expect(send(5, part)).rejects.toMatchObject({ name: 'NoSuchUpload' });

  const other = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts/y' }));
  await client.send(new UploadPartCommand({ Bucket, Key: 'parts/y', UploadId: other.UploadId, PartNumber: 1, Body: part }));
  await expect(client.send(new ListPartsCommand({ Bucket, Key: 'parts/other-key', UploadId: other.UploadId }))).rejects.toMatchObject({ name: 'NoSuchUpload' });
  await client.send(new AbortMultipartUploadCommand({ Bucket, Key: 'parts/y', UploadId: other.UploadId }));
  expect((await s3.blobs.list('.uploads/', { limit: 10 })).blobs).toEqual([]);
});

test('copies keep or replace what belongs to an object', async () => {
  await client.send(new PutObjectCommand({ Bucket, Key: 'copy/ä+ b', Body: 'content', ContentType: 'x/y', Metadata: { a: '1' } }));
  const CopySource = encodeURI(`${BUCKET}/copy/ä+ b`).replaceAll('+', '%2B');
  await client.send(new CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource }));
  expect(await client.send(new HeadObjectCommand({ Bucket, Key: 'copy/to' }))).toMatchObject({ ContentType: 'x/y', Metadata: { a: '1' } });
  await client.send(new CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource: `${BUCKET}/copy/to`, MetadataDirective: 'REPLACE', ContentType: 'z/z', Metadata: { b: '2' } }));
  expect(await client.send(new HeadObjectCommand({ Bucket, Key: 'copy/to' }))).toMatchObject({ ContentType: 'z/z', Metadata: { b: '2' } });
  expect((await bodyOf('copy/to')).toString()).toBe('content');
  await expect(client.send(new CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource: `${BUCKET}/copy/to` }))).rejects.toMatchObject({ name: 'InvalidRequest' });
  await expect(client.send(new CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource: `${BUCKET}/copy/none` }))).rejects.toMatchObject({ name: 'NoSuchKey' });
});

test('conditions decide', async () => {
  const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key: 'cond', Body: 'one', IfNoneMatch: '*' }));
  await expect(client.send(new PutObjectCommand({ Bucket, Key: 'cond', Body: 'two', IfNoneMatch: '*' }))).rejects.toMatchObject({ name: 'PreconditionFailed' });
  const get = (condition: object) => client.send(new GetObjectCommand({ Bucket, Key: 'cond', ...condition }));
  await expect(get({ IfMatch: '"other"' })).rejects.toMatchObject({ name: 'PreconditionFailed' });
  await expect(get({ IfNoneMatch: ETag })).rejects.toMatchObject({ $metadata: { httpStatusCode: 304 } });
  await expect(get({ IfModifiedSince: new Date(Date.now() + 10_000) })).rejects.toMatchObject({ $metadata: { httpStatusCode: 304 } });
  await expect(get({ IfUnmodifiedSince: new Date(Date.now() - 100_000) })).rejects.toMatchObject({ name: 'PreconditionFailed' });
  await expect(get({ Range: 'bytes=100-' })).rejects.toMatchObject({ name: 'InvalidRange' });
  expect(await (await get({ IfMatch: ETag })).Body!.transformToString()).toBe('one');
});

test('presigned URLs work with plain HTTP until they expire', async () => {
  const upload = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: 'pre signed/ö', ContentType: 'text/html' }), { expiresIn: 60 });
  expect((await fetch(upload, { method: 'PUT', body: '<b>hi</b>', headers: { 'content-type': 'text/html' } })).status).toBe(200);
  const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: 'pre signed/ö', ResponseContentDisposition: 'attachment; filename="x"' }), { expiresIn: 60 });
  const reply = await fetch(url);
  expect(await reply.text()).toBe('<b>hi</b>');
  expect(reply.headers.get('content-disposition')).toBe('attachment; filename="x"');
  expect(reply.headers.get('content-security-policy')).toContain('sandbox');
  expect((await fetch(url, { method: 'DELETE' })).status).toBe(403);
  expect((await fetch(url.replace('signed', 'signeD'))).status).toBe(403);
  s3.skewMs = 61_000;
  try {
    const late = await fetch(url);
    expect(late.status).toBe(403);
    expect(await late.text()).toContain('Request has expired');
  } finally {
    s3.skewMs = 0;
  }
});

test('what this store does not do is refused by name', async () => {
  await expect(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ServerSideEncryption: 'AES256' }))).rejects.toMatchObject({ name: 'NotImplemented' });
  await expect(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ACL: 'public-read' }))).rejects.toMatchObject({ name: 'AccessControlListNotSupported' });
  await expect(client.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: 'abc' }))).rejects.toMatchObject({ name: 'NotImplemented' });
});
