import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { BUCKET, raw, type RawCall, startS3, type TestS3 } from './support.ts';

let s3: TestS3;
beforeAll(async () => {
  s3 = await startS3();
  await raw(s3.access(), `/${BUCKET}/object`, { method: 'PUT', body: 'content' });
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (method: string, path: string, call: RawCall = {}) => raw(s3.access(), path, { method, ...call });
const object = `/${BUCKET}/object`;
const md5 = (text: string) => createHash('md5').update(text).digest('base64');

test.for<[string, string, RawCall, number, string]>([
  ['GET', `/${BUCKET}/none`, {}, 404, 'NoSuchKey'],
  ['GET', '/another/object', {}, 404, 'NoSuchBucket'],
  ['GET', '/another', {}, 404, 'NoSuchBucket'],
  ['PUT', `/${BUCKET}`, {}, 409, 'BucketAlreadyOwnedByYou'],
  ['PUT', '/another', {}, 404, 'NoSuchBucket'],
  ['DELETE', `/${BUCKET}`, {}, 403, 'AccessDenied'],
  ['POST', `/${BUCKET}`, {}, 501, 'NotImplemented'],
  ['POST', object, {}, 405, 'MethodNotAllowed'],
  ['PATCH', object, {}, 405, 'MethodNotAllowed'],
  ['PUT', '/', {}, 405, 'MethodNotAllowed'],
  ['GET', `${object}?acl`, {}, 501, 'NotImplemented'],
  ['PUT', `${object}?tagging`, { body: '<Tagging/>' }, 501, 'NotImplemented'],
  ['GET', `/${BUCKET}?versions`, {}, 501, 'NotImplemented'],
  ['GET', `/${BUCKET}?policy`, {}, 501, 'NotImplemented'],
  ['GET', `${object}?partNumber=1`, {}, 501, 'NotImplemented'],
  ['PUT', `/${BUCKET}/${'k'.repeat(1025)}`, { body: 'x' }, 400, 'KeyTooLongError'],
  ['PUT', `/${BUCKET}/a%00b`, { body: 'x' }, 400, 'InvalidArgument'],
  ['GET', object, { headers: { range: 'bytes=7-' } }, 416, 'InvalidRange'],
  ['GET', object, { headers: { range: 'bytes=-0' } }, 416, 'InvalidRange'],
  ['PUT', object, { body: 'x', headers: { 'content-md5': md5('y') } }, 400, 'BadDigest'],
  ['PUT', object, { body: 'x', headers: { 'content-md5': 'nonsense' } }, 400, 'InvalidDigest'],
  ['PUT', object, { body: 'x', headers: { 'x-amz-checksum-sha256': 'AAAA' } }, 400, 'InvalidRequest'],
  ['PUT', object, { body: 'x', headers: { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-checksum-crc32c': 'AAAAAA==' } }, 400, 'InvalidRequest'],
  ['PUT', object, { body: 'x', headers: { 'x-amz-content-sha256': 'nonsense' } }, 400, 'InvalidArgument'],
  ['PUT', object, { body: 'x', headers: { 'x-amz-content-sha256': 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD' } }, 501, 'NotImplemented'],
  ['PUT', object, { body: 'x', headers: { 'if-match': '"x"' } }, 501, 'NotImplemented'],
  ['PUT', object, { body: 'x', headers: { 'x-amz-server-side-encryption-customer-algorithm': 'AES256' } }, 501, 'NotImplemented'],
  ['PUT', object, { body: 'x', headers: { 'x-amz-meta-big': 'b'.repeat(2048) } }, 400, 'MetadataTooLarge'],
  ['PUT', object, { headers: { 'transfer-encoding': 'chunked' } }, 411, 'MissingContentLength'],
  ['PUT', object, { headers: { 'x-amz-copy-source': '%zz' } }, 400, 'InvalidArgument'],
  ['PUT', object, { headers: { 'x-amz-copy-source': 'nothing' } }, 400, 'InvalidArgument'],
  ['PUT', object, { headers: { 'x-amz-copy-source': `/${BUCKET}/none` } }, 404, 'NoSuchKey'],
  ['PUT', object, { headers: { 'x-amz-copy-source': '/another/none' } }, 404, 'NoSuchBucket'],
  ['GET', `/${BUCKET}?list-type=2&max-keys=x`, {}, 400, 'InvalidArgument'],
  ['GET', `/${BUCKET}?list-type=2&max-keys=-1`, {}, 400, 'InvalidArgument'],
  ['GET', `/${BUCKET}?list-type=2&continuation-token=!`, {}, 400, 'InvalidArgument'],
  ['GET', `/${BUCKET}?list-type=2&encoding-type=x`, {}, 400, 'InvalidArgument'],
  ['PUT', `${object}?partNumber=1&uploadId=x`, { body: 'x' }, 404, 'NoSuchUpload'],
  ['POST', `${object}?uploadId=00000000-0000-0000-0000-000000000000`, { body: '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>' }, 404, 'NoSuchUpload'],
  ['POST', `/${BUCKET}?delete`, { body: '' }, 400, 'MalformedXML'],
  ['POST', `/${BUCKET}?delete`, { body: '<Delete/>' }, 400, 'MalformedXML'],
  ['POST', `/${BUCKET}?delete`, { body: `<Delete>${'<Object><Key>k</Key></Object>'.repeat(1001)}</Delete>` }, 400, 'MalformedXML'],
  ['POST', `/${BUCKET}?delete`, { body: '<Delete>'.repeat(100_000) }, 400, 'MalformedXML'],
  ['POST', `/${BUCKET}?delete`, { body: '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>' }, 400, 'MalformedXML'],
  ['POST', `/${BUCKET}?delete`, { body: 'x'.repeat(5 * 1024 ** 2) }, 400, 'MaxMessageLengthExceeded'],
])('%s %s', async ([method, path, call, status, code]) => {
  const reply = await send(method, path, call);
  expect(reply).toMatchObject({ status, code });
  expect(reply.headers['content-type']).toBe('application/xml');
  expect(reply.text).toContain(`<RequestId>${reply.headers['x-amz-request-id'] as string}</RequestId>`);
  expect((await send('GET', object)).text).toBe('content');
});

test('a part without its number, or with one that no part can have, is refused', async () => {
  const [, id] = /<UploadId>(.+)<\/UploadId>/.exec((await send('POST', `/${BUCKET}/parts?uploads`)).text)!;
  for (const number of ['', '&partNumber=', '&partNumber=0', '&partNumber=10001', '&partNumber=1.5']) {
    expect(await send('PUT', `/${BUCKET}/parts?uploadId=${id}${number}`, { body: 'x' }), number).toMatchObject({ status: 400, code: 'InvalidArgument' });
  }
  expect((await send('GET', `/${BUCKET}/parts?uploadId=${id}`)).text).not.toContain('<Part>');
});

test('more than 5 GiB in one request is refused before a byte of it is read', async () => {
  const reply = await send('PUT', object, { tamper: ({ headers }) => void (headers['content-length'] = String(5 * 1024 ** 3 + 1)), headers: { expect: '100-continue' } });
  expect(reply).toMatchObject({ status: 400, code: 'EntityTooLarge' });
});

test('a client that goes away in the middle leaves the object as it was and no trace', async () => {
  const socket = connect(s3.port, '127.0.0.1');
  await send('PUT', object, {
    headers: { 'content-length': '1000000' },
    tamper: (request) => {
      socket.write(`PUT ${request.path} HTTP/1.1\r\n${Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n${'y'.repeat(300_000)}`);
      request.headers = { host: request.headers['host']! }; // this copy of the request is not sent
    },
  });
  await vi.waitFor(() => expect(readdirSync(join(s3.root, 'tmp'))).toHaveLength(1), 5000);
  socket.destroy();
  await vi.waitFor(async () => expect(s3.events.some(({ code, operation }) => code === 'IncompleteBody' && operation === 'PutObject')).toBe(true), 5000);
  expect((await send('GET', object)).text).toBe('content');
  expect(readdirSync(join(s3.root, 'tmp'))).toEqual([]);
});

const chunked = (body: string, decoded: number, trailer?: string): RawCall => ({
  body, headers: { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': String(decoded), ...(trailer === undefined ? {} : { 'x-amz-trailer': trailer }) },
});

test('aws-chunked bodies: right ones are taken, broken ones are refused', async () => {
  const crc = 'x-amz-checksum-crc32';
  expect(await send('PUT', `/${BUCKET}/chunked`, chunked('3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:hYf0Ig==\r\n\r\n', 5, crc))).toMatchObject({ status: 400, code: 'BadDigest' });
  expect((await send('PUT', `/${BUCKET}/chunked`, chunked('3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:hYfYZQ==\r\n\r\n', 5, crc))).status).toBe(200);
  const stored = await send('GET', `/${BUCKET}/chunked`);
  expect(stored.text).toBe('abcde');
  expect(stored.headers['content-encoding']).toBeUndefined();
  for (const [body, decoded, code] of [
    ['3\r\nabc\r\n0\r\n\r\n', 4, 'IncompleteBody'], ['3\r\nabc\r\n0\r\n\r\n', 2, 'IncompleteBody'], ['3\r\nabcd\r\n0\r\n\r\n', 3, 'IncompleteBody'], ['3\r\nabc', 3, 'IncompleteBody'], ['zz\r\n', 3, 'IncompleteBody'],
    ['3\r\nabc\r\n0\r\n\r\nmore', 3, 'IncompleteBody'], [`${'0'.repeat(5000)}3\r\nabc\r\n0\r\n\r\n`, 3, 'IncompleteBody'], ['ffffffffff\r\nabc\r\n', 3, 'IncompleteBody'], ['3\r\nabc\r\n0\r\nnonsense\r\n\r\n', 3, 'MalformedTrailerError'],
  ] as const) expect.soft(await send('PUT', `/${BUCKET}/broken`, chunked(body, decoded))).toMatchObject({ status: 400, code });
  expect(await send('PUT', `/${BUCKET}/broken`, chunked('3\r\nabc\r\n0\r\n\r\n', 3, crc))).toMatchObject({ status: 400, code: 'MalformedTrailerError' });
  expect(await send('PUT', `/${BUCKET}/broken`, chunked('3\r\nabc\r\n0\r\n\r\n', 3, 'x-amz-other'))).toMatchObject({ status: 400, code: 'InvalidRequest' });
  expect((await send('GET', `/${BUCKET}/broken`)).code).toBe('NoSuchKey');
});

test('chunks that claim signatures must have them right', async () => {
  const body = '3;chunk-signature=' + 'a'.repeat(64) + '\r\nabc\r\n0;chunk-signature=' + 'b'.repeat(64) + '\r\n\r\n';
  const call = { body, headers: { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'x-amz-decoded-content-length': '3' } };
  expect(await send('PUT', `/${BUCKET}/signed-chunks`, call)).toMatchObject({ status: 403, code: 'SignatureDoesNotMatch' });
});

test('no signed request, however strange, is a defect of ours', async () => {
  const word = fc.oneof(fc.constantFrom('uploads', 'uploadId', 'partNumber', 'list-type', 'prefix', 'delimiter', 'max-keys', 'delete', 'marker', 'versionId', 'response-content-type', 'continuation-token', 'x-id', 'key-marker', 'max-parts'), fc.string({ maxLength: 6 }));
  const value = fc.oneof(fc.constantFrom('', '0', '1', '2', '99999', '/', 'url', 'null', '-1', '%'), fc.string({ unit: 'binary', maxLength: 8 }).filter((text) => text.isWellFormed()));
  const headers = fc.dictionary(fc.constantFrom('range', 'if-match', 'if-none-match', 'if-modified-since', 'content-md5', 'x-amz-copy-source', 'x-amz-copy-source-range', 'x-amz-decoded-content-length', 'x-amz-metadata-directive', 'x-amz-checksum-crc32', 'x-amz-meta-a', 'x-amz-trailer', 'content-encoding', 'if-range', 'x-amz-acl'), fc.oneof(fc.constantFrom('*', 'bytes=0-1', 'bytes=1-', `/${BUCKET}/object`, 'REPLACE', '5'), fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 12 }).map((text) => text.trim() || 'x')), { maxKeys: 3 });
  await fc.assert(fc.asyncProperty(
    fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD'), fc.constantFrom('', '/object', '/a/b', '/%F0%9F%98%80', '/a//b/', '/.uploads/x/upload'), fc.array(fc.tuple(word, value), { maxLength: 4 }), headers,
    fc.oneof(fc.constant(undefined), fc.string({ maxLength: 200 }), fc.constantFrom('<Delete><Object><Key></Key></Object></Delete>', '<CompleteMultipartUpload><Part/></CompleteMultipartUpload>', '<a', '<a>&#x110000;</a>', '<a>&b</a>', '</a>', '<a></b>')),
    async (method, path, query, more, body) => {
      const search = query.map(([name, each]) => `${encodeURIComponent(name)}=${encodeURIComponent(each)}`).join('&');
      const reply = await raw(s3.access(), `/${BUCKET}${path}${search === '' ? '' : `?${search}`}`, { method, headers: more, body: method === 'GET' || method === 'HEAD' ? undefined : body });
      expect([500, 502, 503]).not.toContain(reply.status);
    },
  ), { numRuns: 400 });
  expect(s3.events.filter(({ error }) => error !== null)).toEqual([]);
});

test('more requests than one scope may have at once wait for their turn, and nobody else does', async () => {
  await using s3 = await startS3();
  const [mine, other] = [s3.access({ prefix: 'a/' }), s3.access({ prefix: 'b/' })];
  const held: Socket[] = [];
  for (let i = 0; i < 64; i++) {
    const socket = connect(s3.port, '127.0.0.1');
    held.push(socket);
    await raw(mine, `/${BUCKET}/a/held-${i}`, {
      method: 'PUT', headers: { 'content-length': '2' },
      tamper: (request) => {
        socket.write(`PUT ${request.path} HTTP/1.1\r\n${Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\nx`);
        request.headers = { host: request.headers['host']! };
      },
    });
  }
  await vi.waitFor(() => expect(readdirSync(join(s3.root, 'tmp'))).toHaveLength(64), 5000);
  const waiting = raw(mine, `/${BUCKET}/a/waits`, { method: 'PUT', body: 'x' });
  expect((await raw(other, `/${BUCKET}/b/k`, { method: 'PUT', body: 'x' })).status).toBe(200);
  expect(await Promise.race([waiting, raw(other, `/${BUCKET}/b/k`).then(() => 'still waits')])).toBe('still waits');
  held[0]!.end('y');
  expect((await waiting).status).toBe(200);
  for (const socket of held) socket.destroy();
});

test('a client that reads nothing before its upload is through hears why it was refused', async () => {
  const length = 30 * 1024 ** 2;
  const socket = connect(s3.port, '127.0.0.1').pause();
  await raw(s3.access({ prefix: 'mine/' }), `/${BUCKET}/theirs/k`, {
    method: 'PUT', headers: { 'content-length': String(length) },
    tamper: (request) => {
      socket.write(`PUT ${request.path} HTTP/1.1\r\n${Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`);
      request.headers = { host: request.headers['host']! };
    },
  });
  await new Promise<void>((resolve, reject) => socket.on('error', reject).write(Buffer.alloc(length), (error) => (error ? reject(error) : resolve())));
  const [reply] = (await once(socket.resume(), 'data')) as [Buffer];
  expect(reply.toString()).toMatch(/^HTTP\/1.1 403 [^]*<Code>AccessDenied<\/Code>/);
  socket.destroy();
});
