import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { build, type ControlProcess, otherOrganization, s3Client, startControl } from './object-storage-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

let database: TestDatabase;
let databaseUrl: string;
let directory: string;
let control: ControlProcess;
beforeAll(async () => {
  build();
  database = await startTestDatabase();
  databaseUrl = await database.create();
  directory = mkdtempSync(join(tmpdir(), 'paddock-objects-')); // 0700 of root: the service user reaches nothing below it by path
  control = await startControl(databaseUrl, { dataDir: join(directory, 'data') });
});
afterAll(async () => {
  await control?.stop();
  await database?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const stored = () => readdirSync(join(directory, 'data/blobs/tree'), { recursive: true }).map(String);

/** Status of a signed-looking request, with any Host. */
function statusOf(path: string, headers: Record<string, string>): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: control.port, path, headers, setHost: headers['host'] === undefined, agent: false }, (reply) => {
      let body = '';
      reply.on('data', (chunk: Buffer) => { body += chunk.toString(); });
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, body }));
    }).on('error', reject).end();
  });
}

test('blobs belong to the service user, in a directory that its path does not lead it to', async () => {
  const client = s3Client(await control.pushAccess());
  const { organizationId, bucket: Bucket } = await control.pushAccess();
  await client.send(new PutObjectCommand({ Bucket, Key: `${organizationId}/k`, Body: 'x' }));
  const uid = statSync(join(directory, 'data/blobs/tree', `d${organizationId}`, 'fk')).uid;
  expect(uid).toBe(statSync(join(directory, 'data/blobs')).uid);
  if (process.getuid?.() === 0) expect(uid).not.toBe(0);
  expect(statSync(join(directory, 'data/blobs')).mode & 0o777).toBe(0o700);
});

test('blobs of another user stop the start with a sentence', async () => {
  const dataDir = join(directory, 'foreign');
  mkdirSync(join(dataDir, 'blobs/tree'), { recursive: true });
  const refused = await startControl(databaseUrl, { dataDir });
  if (process.getuid?.() === 0) expect(refused.refusal).toMatch(/belongs to the user with the number 0.*PADDOCK_SERVICE_USER/);
  else await refused.stop();
});

test.for(['@daytona/sdk', '@daytonaio/sdk'])('%s uploads a build context, once', async (sdk) => {
  const require = createRequire(import.meta.url);
  const { ObjectStorage } = require(join(dirname(require.resolve(sdk)), 'ObjectStorage.js')) as { ObjectStorage: new (config: object) => { upload(path: string, organization: string, base: string): Promise<string> } };
  const access = await control.pushAccess();
  const storage = new ObjectStorage({ endpointUrl: access.storageUrl, accessKeyId: access.accessKey, secretAccessKey: access.secret, sessionToken: access.sessionToken, bucketName: access.bucket, region: access.region });
  const file = join(directory, `context-${sdk.length}.bin`);
  writeFileSync(file, randomBytes(7 * 1024 ** 2)); // more than one part
  const hash = await storage.upload(file, access.organizationId, file.slice(1));
  const key = `${access.organizationId}/${hash}/context.tar`;
  const client = s3Client(access);
  const first = await client.send(new HeadObjectCommand({ Bucket: access.bucket, Key: key }));
  expect(first.ContentLength).toBeGreaterThan(7 * 1024 ** 2);
  expect(await storage.upload(file, access.organizationId, file.slice(1))).toBe(hash);
  expect((await client.send(new HeadObjectCommand({ Bucket: access.bucket, Key: key }))).LastModified).toEqual(first.LastModified);
});

test('two organizations see nothing of each other', async () => {
  const [mine, theirs] = [await control.pushAccess(), await control.pushAccess(await otherOrganization(databaseUrl))];
  expect(theirs.organizationId).not.toBe(mine.organizationId);
  const [me, them] = [s3Client(mine), s3Client(theirs)];
  const Bucket = mine.bucket;
  const [myKey, theirKey] = [`${mine.organizationId}/h/context.tar`, `${theirs.organizationId}/h/context.tar`];
  await me.send(new PutObjectCommand({ Bucket, Key: myKey, Body: 'mine' }));
  await them.send(new PutObjectCommand({ Bucket, Key: theirKey, Body: 'theirs' }));
  const denied = { $metadata: { httpStatusCode: 403 } };
  for (const [client, key, organizationId] of [[me, theirKey, theirs.organizationId], [them, myKey, mine.organizationId]] as const) {
    await expect(client.send(new GetObjectCommand({ Bucket, Key: key }))).rejects.toMatchObject(denied);
    await expect(client.send(new HeadObjectCommand({ Bucket, Key: key }))).rejects.toMatchObject(denied);
    await expect(client.send(new PutObjectCommand({ Bucket, Key: key, Body: 'x' }))).rejects.toMatchObject(denied);
    await expect(client.send(new ListObjectsV2Command({ Bucket, Prefix: `${organizationId}/` }))).rejects.toMatchObject(denied);
    await expect(client.send(new GetObjectCommand({ Bucket, Key: 'registry/x' }))).rejects.toMatchObject(denied);
    const seen = (await client.send(new ListObjectsV2Command({ Bucket }))).Contents ?? [];
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter(({ Key }) => Key!.startsWith(organizationId))).toEqual([]);
  }
});

test('a bucket in the host name works too, as Ruby\'s SDK sends it', async () => {
  const access = await control.pushAccess();
  const client = s3Client({ ...access, storageUrl: `http://localhost:${control.port}` }, true);
  const Key = `${access.organizationId}/host style`;
  await client.send(new PutObjectCommand({ Bucket: access.bucket, Key, Body: 'x' }));
  expect(await (await client.send(new GetObjectCommand({ Bucket: access.bucket, Key }))).Body!.transformToString()).toBe('x');
});

test('what is the gateway\'s or the API\'s stays theirs, however it is signed', async () => {
  const authorization = 'AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=b';
  expect((await statusOf('/bucket/key', { authorization })).body).toContain('<Error>');
  for (const [path, headers] of [
    ['/bucket/key', { host: `9000-11111111-1111-4111-8111-111111111111.localhost:${control.port}` }], ['/toolbox/11111111-1111-4111-8111-111111111111/bucket/key', {}], ['/api/users/me', {}],
  ] as const) {
    const { status, body } = await statusOf(path, { authorization, ...headers });
    expect.soft(JSON.parse(body), path).toMatchObject({ statusCode: status });
    expect.soft([401, 404]).toContain(status);
  }
});

test('a client that waits for 100 Continue is told to go on, or is refused without a byte of its body', async () => {
  const access = await control.pushAccess();
  const big = randomBytes(12 * 1024 ** 2);
  const client = s3Client(access);
  client.middlewareStack.add((next) => (args) => {
    (args.request as { headers: Record<string, string> }).headers['expect'] = '100-continue';
    return next(args);
  }, { step: 'build' });
  await client.send(new PutObjectCommand({ Bucket: access.bucket, Key: `${access.organizationId}/waits`, Body: big }));
  await expect(client.send(new PutObjectCommand({ Bucket: access.bucket, Key: 'elsewhere/waits', Body: big }))).rejects.toMatchObject({ name: 'AccessDenied' });
});

test('killed in the middle of uploads, it comes back with whole objects only; credentials go on', async () => {
  const access = await control.pushAccess();
  const client = s3Client(access);
  const Bucket = access.bucket;
  await client.send(new PutObjectCommand({ Bucket, Key: `${access.organizationId}/before`, Body: 'before' }));
  const endless = () => new Readable({ read() { setTimeout(() => this.push(randomBytes(200_000)), 2); } });
  const uploads = [
    client.send(new PutObjectCommand({ Bucket, Key: `${access.organizationId}/before`, Body: endless(), ContentLength: 1_000_000_000 })),
    new Upload({ client, params: { Bucket, Key: `${access.organizationId}/parts`, Body: endless() } }).done(),
  ].map((upload) => upload.catch((error: Error) => error));
  await vi.waitFor(() => expect(stored().some((name) => name.includes('/dparts/'))).toBe(true), 20_000);
  await control.stop('SIGKILL');
  await Promise.all(uploads);
  control = await startControl(databaseUrl, { dataDir: join(directory, 'data'), port: control.port });
  expect(await (await client.send(new GetObjectCommand({ Bucket, Key: `${access.organizationId}/before` }))).Body!.transformToString()).toBe('before');
  await expect(client.send(new HeadObjectCommand({ Bucket, Key: `${access.organizationId}/parts` }))).rejects.toMatchObject({ name: 'NotFound' });
  expect(readdirSync(join(directory, 'data/blobs/tmp'))).toEqual([]);
});
