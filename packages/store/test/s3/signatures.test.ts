import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BUCKET, raw, type RawCall, startS3, type TestS3 } from './support.ts';

let s3: TestS3;
beforeAll(async () => {
  s3 = await startS3();
  expect((await raw(s3.access(), `/${BUCKET}/object`, { method: 'PUT', body: 'content' })).status).toBe(200);
});
afterAll(() => s3[Symbol.asyncDispose]());

const get = (call: RawCall = {}, access = s3.access()) => raw(access, `/${BUCKET}/object`, call);
const header = (name: string, change: (value: string) => string): RawCall['tamper'] => ({ headers }) => {
  const key = Object.keys(headers).find((each) => each.toLowerCase() === name.toLowerCase())!;
  headers[key] = change(headers[key]!);
};

test('the right signature opens, whether keys come with a token or stand by themselves', async () => {
  for (const form of ['session', 'keys'] as const) {
    expect(await get({}, s3.access({}, form))).toMatchObject({ status: 200, text: 'content' });
    expect(await get({ signQuery: true }, s3.access({}, form))).toMatchObject({ status: 200, text: 'content' });
  }
});

test.for<[string, RawCall['tamper'], number, string]>([
  ['a digit of the signature', header('Authorization', (value) => value.replace(/.$/, (last) => (last === '0' ? '1' : '0'))), 403, 'SignatureDoesNotMatch'],
  ['another object', (request) => void (request.path = `/${BUCKET}/objecu`), 403, 'SignatureDoesNotMatch'],
  ['one more parameter', (request) => void (request.path += '?response-content-type=text/html'), 403, 'SignatureDoesNotMatch'],
  ['another host', header('host', () => 'elsewhere.example'), 403, 'SignatureDoesNotMatch'],
  ['another body hash', header('x-amz-content-sha256', () => 'a'.repeat(64)), 403, 'SignatureDoesNotMatch'],
  ['a header that is not signed', ({ headers }) => void (headers['x-amz-meta-more'] = '1'), 403, 'AccessDenied'],
  ['an unknown access key', header('Authorization', (value) => value.replace('Credential=PDK', 'Credential=PDX')), 403, 'InvalidAccessKeyId'],
  ['the token of nobody', header('X-Amz-Security-Token', (value) => value.replace(/^./, 'x')), 400, 'InvalidToken'],
  ['no token', ({ headers }) => void Object.keys(headers).filter((name) => name.toLowerCase() === 'x-amz-security-token').forEach((name) => delete headers[name]), 403, 'InvalidAccessKeyId'],
  ['no date', ({ headers }) => void Object.keys(headers).filter((name) => name.toLowerCase() === 'x-amz-date').forEach((name) => delete headers[name]), 403, 'AccessDenied'],
  ['no credential', header('Authorization', (value) => value.replace('Credential=', 'Cred=')), 400, 'AuthorizationHeaderMalformed'],
  ['another service', header('Authorization', (value) => value.replace('/s3/', '/ec2/')), 400, 'AuthorizationHeaderMalformed'],
  ['another day', header('Authorization', (value) => value.replace(/\/\d{8}\//, '/20200101/')), 400, 'AuthorizationHeaderMalformed'],
  ['signature version 2', header('Authorization', () => 'AWS key:signature'), 400, 'InvalidRequest'],
])('%s changed: refused', async ([, tamper, status, code]) => {
  expect(await get({ tamper })).toMatchObject({ status, code });
});

test('clocks may be fifteen minutes apart and no more', async () => {
  const access = s3.access({ expiresInSeconds: 24 * 3600 });
  try {
    for (const minutes of [-14, 14]) {
      s3.skewMs = minutes * 60_000;
      expect((await get({}, access)).status).toBe(200);
    }
    for (const minutes of [-16, 16]) {
      s3.skewMs = minutes * 60_000;
      const reply = await get({}, access);
      expect(reply).toMatchObject({ status: 403, code: 'RequestTimeTooSkewed' });
      expect(reply.text).toMatch(/<ServerTime>.*<MaxAllowedSkewMilliseconds>900000</);
    }
    s3.skewMs = -16 * 60_000;
    expect(await get({ signQuery: true }, access)).toMatchObject({ status: 403, code: 'AccessDenied' });
  } finally {
    s3.skewMs = 0;
  }
});

test('credentials end; those without an end do not', async () => {
  const [hour, ever] = [s3.access({ expiresInSeconds: 600 }), s3.access({ expiresInSeconds: null }, 'keys')];
  s3.skewMs = 601_000;
  try {
    expect(await get({}, hour)).toMatchObject({ status: 400, code: 'ExpiredToken' });
    expect((await get({}, ever)).status).toBe(200);
  } finally {
    s3.skewMs = 0;
  }
});

test.for([['0', 400], ['604801', 400], ['x', 400], ['604800', 200]] as const)('a presigned URL for %s seconds: %i', async ([seconds, status]) => {
  expect((await raw(s3.access(), `/${BUCKET}/object?X-Amz-Expires=${seconds}`, { signQuery: true })).status).toBe(status);
});

test('a URL presigned with version 2, as boto3 does unless told otherwise, is answered in S3\'s words', async () => {
  const reply = await raw(s3.access(), `/${BUCKET}/object?AWSAccessKeyId=key&Signature=x%3D&Expires=${Math.floor(Date.now() / 1000) + 60}`, { unsigned: true });
  expect(reply).toMatchObject({ status: 400, code: 'InvalidRequest', text: expect.stringContaining('Please use AWS4-HMAC-SHA256') });
});

test('both kinds of signature at once are none', async () => {
  expect(await get({ tamper: (request) => void (request.path += '?X-Amz-Algorithm=AWS4-HMAC-SHA256') })).toMatchObject({ status: 400, code: 'InvalidArgument' });
});

test('credentials of one installation mean nothing to another', async () => {
  await using other = await startS3();
  expect(await get({}, { ...other.access(), endpoint: s3.origin })).toMatchObject({ status: 400, code: 'InvalidToken' });
  expect(await get({}, { ...other.access({}, 'keys'), endpoint: s3.origin })).toMatchObject({ status: 403, code: 'InvalidAccessKeyId' });
});

test('a scope opens its prefix and its actions, nothing else', async () => {
  const [mine, theirs] = ['org-1/', 'org-2/'].map((prefix) => s3.access({ prefix, actions: ['read', 'write', 'list'] })) as [ReturnType<TestS3['access']>, ReturnType<TestS3['access']>];
  expect((await raw(mine, `/${BUCKET}/org-1/k`, { method: 'PUT', body: 'mine' })).status).toBe(200);
  const { text } = await raw(mine, `/${BUCKET}/org-1/parts?uploads`, { method: 'POST' });
  const uploadId = /<UploadId>(.*)<\/UploadId>/.exec(text)![1]!;
  const denied = { status: 403, code: 'AccessDenied' };
  const attempts: [method: string, path: string, call?: RawCall][] = [
    ['GET', '/org-1/k'], ['HEAD', '/org-1/k'], ['PUT', '/org-1/k', { body: 'x' }], ['DELETE', '/org-1/k'], ['DELETE', '/org-2/k'], ['GET', '/org-1/../org-1/k'], ['GET', '/org-2/../org-1/k'], ['GET', '/org-2'], ['GET', '/org-2x'],
    ['GET', '?list-type=2&prefix=org-1%2F'], ['GET', '?prefix=org-1'], ['GET', '?prefix=o-'], ['GET', '?uploads&prefix=org-1%2F'],
    ['PUT', '/org-2/copy', { headers: { 'x-amz-copy-source': `/${BUCKET}/org-1/k` } }], ['PUT', `/org-1/parts?partNumber=1&uploadId=${uploadId}`, { body: 'x' }],
    ['GET', `/org-1/parts?uploadId=${uploadId}`], ['DELETE', `/org-1/parts?uploadId=${uploadId}`], ['PUT', '/.uploads/x', { body: 'x' }],
  ];
  for (const [method, path, call] of attempts) {
    const reply = await raw(theirs, `/${BUCKET}${path}`, { method, ...call });
    expect.soft({ method, path, status: reply.status }).toEqual({ method, path, status: path.includes('/org-2/../') ? 404 : 403 });
    if (method !== 'HEAD' && reply.status === 403) expect.soft({ method, path, code: reply.code }).toEqual({ method, path, code: 'AccessDenied' });
  }
  // An upload of someone else does not exist under one's own key.
  expect(await raw(theirs, `/${BUCKET}/org-2/parts?partNumber=1&uploadId=${uploadId}`, { method: 'PUT', body: 'x' })).toMatchObject({ status: 404, code: 'NoSuchUpload' });
  const bulk = await raw(s3.access({ prefix: 'org-2/', actions: ['delete'] }), `/${BUCKET}?delete`, { method: 'POST', body: '<Delete><Object><Key>org-1/k</Key></Object><Object><Key>org-2/none</Key></Object></Delete>' });
  expect(bulk.text).toContain('<Deleted><Key>org-2/none</Key></Deleted>');
  expect(bulk.text).toContain('<Error><Key>org-1/k</Key><Code>AccessDenied</Code>');
  expect((await raw(mine, `/${BUCKET}/org-1/k`)).text).toBe('mine');
  expect(await raw(mine, `/${BUCKET}/org-1/k`, { method: 'DELETE' })).toMatchObject(denied);
  // A shorter prefix shows one's own and only that.
  expect((await raw(theirs, `/${BUCKET}/org-2/k2`, { method: 'PUT', body: 'theirs' })).status).toBe(200);
  for (const prefix of ['', 'org', 'org-1', 'org-1%2F']) expect((await raw(mine, `/${BUCKET}?list-type=2&prefix=${prefix}`)).text.match(/<Key>.*?<\/Key>/g)).toEqual(['<Key>org-1/k</Key>']);
  for (const prefix of ['', 'org-1']) {
    const { text } = await raw(mine, `/${BUCKET}?list-type=2&prefix=${prefix}&delimiter=%2F`);
    expect(text.match(/<CommonPrefixes>.*?<\/CommonPrefixes>/g)).toEqual(['<CommonPrefixes><Prefix>org-1/</Prefix></CommonPrefixes>']);
  }
  expect((await raw(mine, `/${BUCKET}?uploads`)).text.match(/<Key>.*?<\/Key>/g)).toEqual(['<Key>org-1/parts</Key>']);
  expect((await raw(theirs, `/${BUCKET}?uploads`)).text).not.toContain('org-1');
});

test('a signed body must be the one that was signed', async () => {
  const hash = createHash('sha256').update('right').digest('hex');
  expect(await raw(s3.access(), `/${BUCKET}/body`, { method: 'PUT', body: 'wrong', headers: { 'x-amz-content-sha256': hash } })).toMatchObject({ status: 400, code: 'XAmzContentSHA256Mismatch' });
  expect((await raw(s3.access(), `/${BUCKET}/body`)).code).toBe('NoSuchKey');
  expect((await raw(s3.access(), `/${BUCKET}/body`, { method: 'PUT', body: 'right', headers: { 'x-amz-content-sha256': hash } })).status).toBe(200);
});

test('headers of UTF-8 are signed by their bytes, whatever the last one is', async () => {
  const access = s3.access({}, 'keys');
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = [date.slice(0, 8), 'us-east-1', 's3', 'aws4_request'];
  const text = 'voilà'; // its last byte is a blank to whoever takes bytes for latin1
  const signed = 'host;x-amz-content-sha256;x-amz-date;x-amz-meta-a';
  const canonical = `PUT\n/${BUCKET}/utf8\n\nhost:127.0.0.1:${s3.port}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:${date}\nx-amz-meta-a:${text}\n\n${signed}\nUNSIGNED-PAYLOAD`;
  const key = scope.reduce<string | Buffer>((before, part) => createHmac('sha256', before).update(part).digest(), `AWS4${access.secretKey}`);
  const signature = createHmac('sha256', key).update(`AWS4-HMAC-SHA256\n${date}\n${scope.join('/')}\n${createHash('sha256').update(canonical).digest('hex')}`).digest('hex');
  const status = await new Promise((resolve, reject) => {
    httpRequest({
      host: '127.0.0.1', port: s3.port, method: 'PUT', path: `/${BUCKET}/utf8`,
      headers: {
        'content-length': 1, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', 'x-amz-date': date, 'x-amz-meta-a': Buffer.from(text).toString('latin1'),
        authorization: `AWS4-HMAC-SHA256 Credential=${access.accessKey}/${scope.join('/')}, SignedHeaders=${signed}, Signature=${signature}`,
      },
    }, (reply) => resolve(reply.resume().statusCode)).on('error', reject).end(Buffer.from('x'));
  });
  expect(status).toBe(200);
  expect((await s3.blobs.head('utf8'))!.metadata).toEqual({ a: text });
});
