import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import type { PaddockConfig } from '@paddock/contract';
import { createS3Server, CredentialIssuer, DiskBlobs, type S3Server } from '@paddock/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, type ControlProcess, s3Client, startControl } from './object-storage-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** The operator's store: our S3 server under another name, and an STS that reads the policy it is sent as MinIO's does. */
const issuer = new CredentialIssuer(randomBytes(32));
const own = issuer.issue({ prefix: '', actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: null }, 'keys');
const asked: URLSearchParams[] = [];
let directory: string;
let s3: S3Server;
let store: Server;
let sts: Server;
let database: TestDatabase;
let databaseUrl: string;
let objectStore: PaddockConfig['objectStore'];
const running: ControlProcess[] = [];

beforeAll(async () => {
  build();
  directory = mkdtempSync(join(tmpdir(), 'paddock-external-'));
  database = await startTestDatabase();
  databaseUrl = await database.create();
  s3 = createS3Server({ blobs: new DiskBlobs(join(directory, 's3')), issuer: async () => issuer, bucket: 'the-bucket', region: 'us-east-1' });
  store = createServer((req, res) => s3.handle(req, res, false)).on('checkContinue', (req, res) => s3.handle(req, res, true)).listen(0, '127.0.0.1');
  sts = createServer((req, res) => void text(req).then((body) => {
    const form = new URLSearchParams(body);
    asked.push(form);
    if (!req.headers.authorization?.startsWith(`AWS4-HMAC-SHA256 Credential=${own.accessKey}/`)) return res.writeHead(403).end('<ErrorResponse><Error><Code>AccessDenied</Code><Message>Who are you?</Message></Error></ErrorResponse>');
    const policy = JSON.parse(form.get('Policy')!) as { Statement: { Resource: string[] }[] };
    const prefix = policy.Statement[0]!.Resource[0]!.replace('arn:aws:s3:::the-bucket/', '').replace(/\*$/, '');
    const made = issuer.issue({ prefix, actions: ['read', 'write', 'list'], expiresInSeconds: Number(form.get('DurationSeconds')) }, 'session');
    res.end(`<?xml version="1.0"?><AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>${made.accessKey}</AccessKeyId><SecretAccessKey>${made.secretKey}</SecretAccessKey><SessionToken>${made.sessionToken}</SessionToken></Credentials></AssumeRoleResult></AssumeRoleResponse>`);
  })).listen(0, '127.0.0.1');
  await Promise.all([once(store, 'listening'), once(sts, 'listening')]);
  objectStore = { endpoint: address(store), stsEndpoint: address(sts), region: 'us-east-1', accessKey: own.accessKey, secretKey: own.secretKey, bucket: 'the-bucket', accountId: null, roleName: null };
});
afterAll(async () => {
  for (const control of running) await control.stop();
  await database?.stop();
  s3?.close();
  for (const server of [store, sts]) {
    server?.closeAllConnections();
    server?.close();
  }
  rmSync(directory, { recursive: true, force: true });
});

const address = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function start(changes: Partial<PaddockConfig['objectStore']>): Promise<ControlProcess> {
  const control = await startControl(databaseUrl, { dataDir: join(directory, `data-${running.length}`), objectStore: { ...objectStore, ...changes } });
  running.push(control);
  return control;
}

test('clients get what STS makes of the operator\'s keys: their own prefix of the external bucket', async () => {
  const control = await start({ accountId: '123456789012', roleName: 'paddock' });
  const access = await control.pushAccess();
  expect(access).toMatchObject({ storageUrl: objectStore.endpoint, bucket: 'the-bucket', region: 'us-east-1' });
  const form = asked.at(-1)!;
  expect(Object.fromEntries(form)).toMatchObject({ Action: 'AssumeRole', Version: '2011-06-15', DurationSeconds: '3600', RoleArn: 'arn:aws:iam::123456789012:role/paddock' });
  expect(JSON.parse(form.get('Policy')!)).toEqual({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'], Resource: [`arn:aws:s3:::the-bucket/${access.organizationId}/*`] },
      { Effect: 'Allow', Action: ['s3:ListBucket'], Resource: ['arn:aws:s3:::the-bucket'], Condition: { StringLike: { 's3:prefix': [access.organizationId, `${access.organizationId}/*`] } } },
    ],
  });
  const client = s3Client(access);
  await client.send(new PutObjectCommand({ Bucket: access.bucket, Key: `${access.organizationId}/h/context.tar`, Body: 'x' }));
  expect((await client.send(new ListObjectsV2Command({ Bucket: access.bucket, Prefix: `${access.organizationId}/h/`, MaxKeys: 1 }))).KeyCount).toBe(1);
  await expect(client.send(new GetObjectCommand({ Bucket: access.bucket, Key: 'someone/else' }))).rejects.toMatchObject({ name: 'AccessDenied' });
  expect(readdirSync(join(directory, 's3/tree'))).toContain(`d${access.organizationId}`);
  // Nothing is served or kept here.
  expect((await fetch(`${control.origin}/the-bucket/k`, { headers: { authorization: 'AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=b' } })).status).toBe(404);
});

test('without STS clients are told whom to ask', async () => {
  const control = await start({ stsEndpoint: null });
  await expect(control.pushAccess()).rejects.toThrow(/"statusCode":503.*S3_STS_ENDPOINT|S3_STS_ENDPOINT.*"statusCode":503/);
});

test('an STS that refuses or is away is a 400 with its words', async () => {
  const stranger = await start({ accessKey: 'stranger' });
  await expect(stranger.pushAccess()).rejects.toThrow(/Who are you\?/);
  const away = await start({ stsEndpoint: 'http://127.0.0.1:1' });
  await expect(away.pushAccess()).rejects.toThrow(/does not answer.*"statusCode":400|"statusCode":400.*does not answer/);
});

test('an endpoint without keys stops the start with a sentence', async () => {
  const control = await startControl(databaseUrl, { dataDir: join(directory, 'data-refused'), objectStore: { ...objectStore, secretKey: null } });
  expect(control.refusal).toMatch(/S3_ACCESS_KEY and S3_SECRET_KEY/);
});
