import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { ObjectAccess } from '@paddock/contract';
import { type Blobs, DiskBlobs, openBlobs } from '@paddock/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listAll, putText, read, readText } from '../blobs/support.ts';

let directory: string;
let server: ChildProcess;
let access: ObjectAccess;
let blobs: Blobs;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'paddock-s3-'));
  server = spawn(process.execPath, [join(import.meta.dirname, 's3-server.ts'), directory, 'external'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: server.stdout! }), 'line')) as [string];
  access = { ...(JSON.parse(line) as ObjectAccess), prefix: 'some/prefix/' };
  blobs = openBlobs(access);
});
afterAll(async () => {
  server.stdin!.end();
  await once(server, 'close');
  rmSync(directory, { recursive: true });
});

const md5 = (content: Buffer) => createHash('md5').update(content).digest('hex');

test('a blob goes to the external store below the prefix and comes back', async () => {
  const content = randomBytes(300_000);
  const key = 'a/ä +%?&#é/\u{1f600}';
  expect(await putText(blobs, key, content, { contentType: 'x/y', metadata: { name: 'größer & more' } })).toMatchObject({ key, size: content.length, etag: md5(content) });
  expect(await blobs.head(key)).toMatchObject({ key, size: content.length, etag: md5(content), contentType: 'x/y', metadata: { name: 'größer & more' } });
  expect(await read(blobs, key)).toEqual(content);
  expect(await read(blobs, key, 5, 14)).toEqual(content.subarray(5, 15));
  expect(await readText(openBlobs({ ...access, prefix: '' }), `some/prefix/${key}`)).toBe(content.toString());
  await blobs.remove(key);
  await blobs.remove(key);
  expect(await blobs.head(key)).toBeNull();
  expect(await blobs.get(key)).toBeNull();
});

test('content whose sha256 and ETag the caller gives: the one is checked, the other kept, and no md5 is made anywhere', async () => {
  const content = randomBytes(300_000);
  const digest = createHash('sha256').update(content).digest('hex');
  expect(await blobs.put('given', Readable.from([content]), { sha256: digest, etag: digest })).toMatchObject({ etag: digest });
  const stored = await new DiskBlobs(directory).head(`${access.prefix}given`);
  expect(stored).toMatchObject({ size: content.length, etag: digest });
  await expect(blobs.put('other', Readable.from([content]), { sha256: '0'.repeat(64), etag: digest })).rejects.toThrow('XAmzContentSHA256Mismatch');
  expect(await blobs.head('other')).toBeNull();
});

test('a stream of unknown length beyond one part', async () => {
  const content = randomBytes(40 * 1024 ** 2 + 3);
  const pieces = function* () { for (let at = 0; at < content.length; at += 70_001) yield content.subarray(at, at + 70_001); };
  const info = await blobs.put('long', Readable.from(pieces(), { objectMode: false }), { metadata: { a: 'b' } });
  expect(info).toMatchObject({ size: content.length, metadata: { a: 'b' } });
  expect((await read(blobs, 'long'))!.equals(content)).toBe(true);
  expect(await putText(blobs, 'empty', '')).toMatchObject({ size: 0 });
  expect(await readText(blobs, 'empty')).toBe('');
});

test('a body that fails leaves nothing, also after parts were sent', async () => {
  const failing = Readable.from((function* () { for (let i = 0; i < 40; i++) yield randomBytes(1024 ** 2); throw new Error('no more'); })());
  await expect(blobs.put('failing', failing)).rejects.toThrow('no more');
  expect(await blobs.head('failing')).toBeNull();
  expect(readdirSync(join(directory, 'tree'))).not.toContain('d.uploads');
});

test('listings in order, with pages, prefixes and strange keys', async () => {
  const keys = Array.from({ length: 30 }, (_, i) => `l/${i % 3}/${i} +&<ü`);
  await Promise.all(keys.map((key) => putText(blobs, key, key)));
  const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  expect((await listAll(blobs, 'l/', 7)).keys).toEqual(sorted);
  expect(await listAll(blobs, 'l/', 1, '/')).toMatchObject({ keys: [], prefixes: ['l/0/', 'l/1/', 'l/2/'] });
  expect((await blobs.list('l/', { after: sorted[10], limit: 2 })).blobs.map(({ key }) => key)).toEqual(sorted.slice(11, 13));
});

test('composing: within the store where parts are large, through this process where they are small', async () => {
  const parts = [randomBytes(6 * 1024 ** 2), randomBytes(5 * 1024 ** 2), randomBytes(10)];
  for (const sizes of [parts, [parts[2]!, parts[1]!]]) {
    for (const [i, part] of sizes.entries()) await putText(blobs, `p/${i}`, part);
    await blobs.compose('composed', sizes.map((_, i) => `p/${i}`), { contentType: 'c/c' });
    expect((await read(blobs, 'composed'))!.equals(Buffer.concat(sizes))).toBe(true);
    expect(await blobs.head('composed')).toMatchObject({ contentType: 'c/c' });
    expect((await listAll(blobs, 'p/')).keys).toEqual([]);
  }
  await expect(blobs.compose('nothing', ['p/none'])).rejects.toMatchObject({ code: 'NO_SUCH_BLOB' });
});

test('copies and ifAbsent', async () => {
  await putText(blobs, 'from', 'content', { contentType: 't/t', metadata: { a: '1' } });
  expect(await blobs.copy('from', 'to')).toMatchObject({ contentType: 't/t', metadata: { a: '1' }, size: 7 });
  expect(await blobs.copy('from', 'to', { metadata: { b: '2' } })).toMatchObject({ metadata: { b: '2' } });
  await expect(blobs.copy('none', 'to')).rejects.toMatchObject({ code: 'NO_SUCH_BLOB' });
  const tries = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => putText(blobs, 'once', `${i}`, { ifAbsent: true })));
  expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(tries.flatMap((each) => (each.status === 'rejected' ? [(each.reason as { code: string }).code] : []))).toEqual(Array(7).fill('BLOB_EXISTS'));
});

test('a store that fails now and then is asked again, a download that breaks off goes on', async () => {
  const content = randomBytes(3_000_000);
  await putText(blobs, 'flaky', content);
  const asked: string[] = [];
  const flaky = createServer((req, res) => {
    const before = asked.filter((method) => method === req.method).length;
    asked.push(req.method!);
    if (req.method !== 'GET' && before === 0) return void res.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
    const onward = httpRequest(access.endpoint + req.url!, { method: req.method, headers: { ...req.headers, 'x-forwarded-host': req.headers.host } }, (reply) => {
      res.writeHead(reply.statusCode!, reply.headers);
      let sent = 0;
      reply.on('data', (chunk: Buffer) => {
        res.write(chunk);
        sent += chunk.length;
        if (sent > 1_000_000 && before < 2) res.destroy();
      });
      reply.on('end', () => res.end());
      reply.on('error', () => undefined);
    });
    onward.on('error', () => res.destroy());
    req.pipe(onward);
  });
  flaky.listen(0, '127.0.0.1');
  await once(flaky, 'listening');
  try {
    const through = openBlobs({ ...access, endpoint: `http://127.0.0.1:${(flaky.address() as AddressInfo).port}` });
    expect(await through.head('flaky')).toMatchObject({ size: content.length });
    expect((await buffer((await through.get('flaky'))!.body)).equals(content)).toBe(true);
    expect(asked).toEqual(['HEAD', 'HEAD', 'GET', 'GET', 'GET']);
  } finally {
    flaky.closeAllConnections();
    flaky.close();
  }
});

test('a store that is away and one that refuses are told apart', async () => {
  await expect(openBlobs({ ...access, endpoint: 'http://127.0.0.1:1' }).head('k')).rejects.toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining('ECONNREFUSED') });
  await expect(openBlobs({ ...access, secretKey: 'wrong' }).get('k')).rejects.toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining('SignatureDoesNotMatch') });
});
