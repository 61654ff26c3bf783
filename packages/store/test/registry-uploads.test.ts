import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { random, sha256, startRegistry, type Reply, type TestRegistry } from './registry-support.ts';

let server: TestRegistry;
beforeAll(async () => { server = await startRegistry(); });
afterAll(() => server?.close());

const REPOSITORY = 'org-a/uploads';

async function begin(): Promise<string> {
  const reply = await server.call('POST', `/v2/${REPOSITORY}/blobs/uploads/`);
  expect(reply.status).toBe(202);
  expect(reply.headers).toMatchObject({ range: '0-0', 'content-length': '0', 'docker-upload-uuid': expect.stringMatching(/^[0-9a-f-]{36}$/) });
  return String(reply.headers.location);
}

const patch = (location: string, body: Buffer | string, headers: Record<string, string> = {}) => server.call('PATCH', location, { body, headers: { 'content-type': 'application/octet-stream', ...headers } });
const put = (location: string, digest: string, body: Buffer | string = '', headers: Record<string, string> = {}) => server.call('PUT', `${location}?digest=${digest}`, { body, headers });
const read = (digest: string) => server.call('GET', `/v2/${REPOSITORY}/blobs/${digest}`);
const code = (reply: Reply) => reply.json?.errors?.[0]?.code as string | undefined;

describe('in pieces', () => {
  test('each piece is counted, the last request brings the digest', async () => {
    const content = random(300_000);
    const location = await begin();
    const first = await patch(location, content.subarray(0, 100_000), { 'content-range': '0-99999' });
    expect([first.status, first.headers.range, first.headers.location]).toEqual([202, '0-99999', location]);
    expect((await patch(location, content.subarray(100_000, 250_000))).headers.range).toBe('0-249999');
    const status = await server.call('GET', location);
    expect([status.status, status.headers.range, status.headers.location]).toEqual([204, '0-249999', location]);
    const done = await put(location, sha256(content), content.subarray(250_000), { 'content-range': '250000-299999' });
    expect([done.status, done.headers.location, done.headers['docker-content-digest']]).toEqual([201, `/v2/${REPOSITORY}/blobs/${sha256(content)}`, sha256(content)]);
    expect((await read(sha256(content))).body.equals(content)).toBe(true);
    expect(code(await server.call('GET', location))).toBe('BLOB_UPLOAD_UNKNOWN');
  });

  test('a piece that does not begin at the end of the others is 416 and says where to go on', async () => {
    const location = await begin();
    await patch(location, 'abcde');
    for (const range of ['0-4', '4-8', '6-10']) {
      const reply = await patch(location, '12345', { 'content-range': range });
      expect([reply.status, code(reply), reply.headers.range, reply.headers.location]).toEqual([416, 'BLOB_UPLOAD_INVALID', '0-4', location]);
    }
    expect((await put(location, sha256('abcdexyz'), 'xyz', { 'content-range': '9-11' })).status).toBe(416);
    expect((await put(location, sha256('abcdexyz'), 'xyz', { 'content-range': '5-7' })).status).toBe(201);
  });

  test('a range that is no range or has another length is 400 and changes nothing', async () => {
    const location = await begin();
    for (const [range, expected] of [['nonsense', 'BLOB_UPLOAD_INVALID'], ['4-1', 'BLOB_UPLOAD_INVALID'], ['0-99', 'SIZE_INVALID'], ['0-1', 'SIZE_INVALID'], ['-1-3', 'BLOB_UPLOAD_INVALID']] as const) {
      const reply = await patch(location, 'abcde', { 'content-range': range });
      expect([reply.status, code(reply)], range).toEqual([400, expected]);
    }
    expect((await server.call('GET', location)).headers.range).toBe('0-0');
    expect((await put(location, sha256('abcde'), 'abcde')).status).toBe(201);
  });

  test('a thousand pieces cost no more each than the first', async () => {
    const location = await begin();
    const hash = createHash('sha256');
    for (let i = 0; i < 1000; i++) {
      const piece = Buffer.from(`piece ${i}\n`);
      hash.update(piece);
      expect((await patch(location, piece)).status).toBe(202);
    }
    expect((await put(location, `sha256:${hash.digest('hex')}`)).status).toBe(201);
  });

  test('another digest ends the upload and leaves nothing', async () => {
    const location = await begin();
    await patch(location, 'content');
    const reply = await put(location, sha256('other'));
    expect([reply.status, code(reply)]).toEqual([400, 'DIGEST_INVALID']);
    expect((await read(sha256('other'))).status).toBe(404);
    expect((await read(sha256('content'))).status).toBe(404);
    expect((await server.call('GET', location)).status).toBe(404);
  });

  test('it can be cancelled, once', async () => {
    const location = await begin();
    await patch(location, 'content');
    expect((await server.call('DELETE', location)).status).toBe(204);
    expect((await server.call('DELETE', location)).status).toBe(404);
    expect((await patch(location, 'x')).status).toBe(404);
    expect((await put(location, sha256('content'))).status).toBe(404);
    expect((await server.blobs.list('uploads/', { limit: 100 })).blobs.filter(({ key }) => key.includes(location.split('/').at(-1)!))).toEqual([]);
  });

  test('one request at a time writes; the other is 409', async () => {
    const location = await begin();
    const replies = await Promise.all(Array.from({ length: 8 }, () => patch(location, random(1_000_000))));
    const taken = replies.filter(({ status }) => status === 202).length;
    expect(replies.every(({ status }) => status === 202 || status === 409)).toBe(true);
    expect((await server.call('GET', location)).headers.range).toBe(`0-${taken * 1_000_000 - 1}`);
  });

  test('an upload belongs to its repository', async () => {
    const location = await begin();
    expect((await patch(location.replace(REPOSITORY, 'org-a/elsewhere'), 'x')).status).toBe(404);
    for (const id of ['0', '..', '%2e%2e', 'session', `${location.split('/').at(-1)}/parts`]) expect([400, 404]).toContain((await server.call('GET', `/v2/org-a/elsewhere/blobs/uploads/${id}`)).status);
  });
});

describe('at once', () => {
  test('POST with a digest takes the blob, sha512 too', async () => {
    const content = random(1000);
    const digest = `sha512:${createHash('sha512').update(content).digest('hex')}`;
    expect((await server.call('POST', `/v2/${REPOSITORY}/blobs/uploads/?digest=${digest}`, { body: content })).status).toBe(201);
    expect((await read(digest)).body.equals(content)).toBe(true);
    const pieces = await begin();
    await patch(pieces, content.subarray(0, 10));
    expect((await put(pieces, digest, content.subarray(10))).status).toBe(201);
  });

  test('POST and PUT take it without a PATCH, and the empty blob', async () => {
    expect((await put(await begin(), sha256('whole'), 'whole')).status).toBe(201);
    expect((await put(await begin(), sha256(''))).status).toBe(201);
    const empty = await read(sha256(''));
    expect([empty.status, empty.body.length, empty.headers['content-length']]).toEqual([200, 0, '0']);
  });

  test('a wrong, unknown or missing digest is 400', async () => {
    for (const digest of [sha256('other'), 'sha256:abc', `md5:${'0'.repeat(32)}`, '../../etc/passwd', '', `sha256:${'A'.repeat(64)}`]) {
      const reply = await server.call('POST', `/v2/${REPOSITORY}/blobs/uploads/?digest=${encodeURIComponent(digest)}`, { body: 'content' });
      expect([reply.status, code(reply)], digest).toEqual([400, 'DIGEST_INVALID']);
    }
    expect(code(await server.call('PUT', await begin(), { body: 'x' }))).toBe('DIGEST_INVALID');
  });

  test('the same blob at the same time, and again', async () => {
    const content = random(500_000);
    const replies = await Promise.all(Array.from({ length: 6 }, () => server.call('POST', `/v2/${REPOSITORY}/blobs/uploads/?digest=${sha256(content)}`, { body: content })));
    expect(replies.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201]);
    expect((await read(sha256(content))).body.equals(content)).toBe(true);
  });
});

describe('mounting', () => {
  test('takes a blob from another repository, named or found', async () => {
    const digest = await server.push('org-a/source', 'shared');
    const named = await server.call('POST', `/v2/org-a/target/blobs/uploads/?mount=${digest}&from=org-a/source`);
    expect([named.status, named.headers.location]).toEqual([201, `/v2/org-a/target/blobs/${digest}`]);
    expect((await server.call('GET', `/v2/org-a/target/blobs/${digest}`)).body.toString()).toBe('shared');
    expect((await server.call('POST', `/v2/org-a/found/blobs/uploads/?mount=${digest}`)).status).toBe(201);
  });

  test('what is not there becomes an upload', async () => {
    for (const query of [`mount=${sha256('nowhere')}`, `mount=${sha256('nowhere')}&from=org-a/source`, `mount=${sha256('nowhere')}&from=NOT A NAME`]) {
      const reply = await server.call('POST', `/v2/org-a/target/blobs/uploads/?${encodeURI(query)}`);
      expect(reply.status).toBe(202);
      expect(reply.headers.location).toMatch(/^\/v2\/org-a\/target\/blobs\/uploads\/[0-9a-f-]{36}$/);
    }
  });
});

describe('reading', () => {
  let digest: string;
  beforeAll(async () => { digest = await server.push(REPOSITORY, '0123456789'); });
  const ranged = (range: string, more: Record<string, string> = {}) => server.call('GET', `/v2/${REPOSITORY}/blobs/${digest}`, { headers: { range, ...more } });

  test('HEAD tells size and digest and has no body', async () => {
    const reply = await server.call('HEAD', `/v2/${REPOSITORY}/blobs/${digest}`);
    expect([reply.status, reply.body.length]).toEqual([200, 0]);
    expect(reply.headers).toMatchObject({ 'content-length': '10', 'docker-content-digest': digest, 'accept-ranges': 'bytes', 'docker-distribution-api-version': 'registry/2.0' });
    expect((await server.call('HEAD', `/v2/${REPOSITORY}/blobs/${sha256('none')}`)).status).toBe(404);
  });

  test('ranges: first, middle, open, suffix; nonsense is the whole; beyond the end is 416', async () => {
    for (const [range, status, body, contentRange] of [
      ['bytes=0-3', 206, '0123', 'bytes 0-3/10'], ['bytes=4-6', 206, '456', 'bytes 4-6/10'], ['bytes=7-', 206, '789', 'bytes 7-9/10'], ['bytes=-2', 206, '89', 'bytes 8-9/10'],
      ['bytes=8-99', 206, '89', 'bytes 8-9/10'], ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'], ['bytes=5-2', 200, '0123456789', undefined],
      ['bytes=0-1,4-5', 200, '0123456789', undefined], ['lines=1-2', 200, '0123456789', undefined], ['bytes=-', 200, '0123456789', undefined],
    ] as const) {
      const reply = await ranged(range);
      expect([reply.status, reply.body.toString(), reply.headers['content-range']], range).toEqual([status, body, contentRange]);
    }
    for (const range of ['bytes=10-', 'bytes=10-12', 'bytes=-0']) {
      const reply = await ranged(range);
      expect([reply.status, reply.headers['content-range'], code(reply)], range).toEqual([416, 'bytes */10', 'SIZE_INVALID']);
    }
  });

  test('what the client has already is not sent again', async () => {
    const { headers } = await server.call('HEAD', `/v2/${REPOSITORY}/blobs/${digest}`);
    expect((await server.call('GET', `/v2/${REPOSITORY}/blobs/${digest}`, { headers: { 'if-none-match': String(headers.etag) } })).status).toBe(304);
    expect((await ranged('bytes=0-1', { 'if-range': '"other"' })).status).toBe(200);
    expect((await ranged('bytes=0-1', { 'if-range': String(headers.etag) })).status).toBe(206);
  });

  test('a blob made of pieces has ranges across them', async () => {
    const location = await begin();
    for (const piece of ['abc', 'def', 'ghi']) await patch(location, piece);
    await put(location, sha256('abcdefghi'));
    expect((await server.call('GET', `/v2/${REPOSITORY}/blobs/${sha256('abcdefghi')}`, { headers: { range: 'bytes=2-6' } })).body.toString()).toBe('cdefg');
  });

  test('deleted in one repository it is still in the others', async () => {
    const shared = await server.push('org-a/one', 'deleted here');
    await server.push('org-a/two', 'deleted here');
    expect((await server.call('DELETE', `/v2/org-a/one/blobs/${shared}`)).status).toBe(202);
    expect((await server.call('DELETE', `/v2/org-a/one/blobs/${shared}`)).status).toBe(404);
    await server.registry.collect();
    expect((await server.call('GET', `/v2/org-a/one/blobs/${shared}`)).status).toBe(404);
    expect((await server.call('GET', `/v2/org-a/two/blobs/${shared}`)).body.toString()).toBe('deleted here');
  });
});
