import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MultipartScanner, boundaryOf } from '../src/files/multipart.ts';
import { eventually, startToolbox, type Reply } from './toolbox.ts';

interface Part { readonly head: string; readonly body: Buffer }

/** Parts by their raw bytes: framing is the wire here. */
function parts(reply: Reply): Part[] {
  const boundary = boundaryOf(reply.headers['content-type'])!;
  const text = reply.body.toString('latin1');
  expect(text.endsWith(`--${boundary}--\r\n`)).toBe(true);
  return text.split(`--${boundary}`).slice(1, -1).map((part) => {
    expect(part.startsWith('\r\n') && part.endsWith('\r\n')).toBe(true);
    const end = part.indexOf('\r\n\r\n');
    return { head: part.slice(2, end), body: Buffer.from(part.slice(end + 4, -2), 'latin1') };
  });
}

test('files and errors in the order asked for, named as asked', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const big = Buffer.alloc(700_000, 'ab\r\n--');
  writeFileSync(join(toolbox.dir, 'big.txt'), big);
  await toolbox.exec('printf x > closed; chmod 0 closed; mkfifo pipe; touch empty "q\\"\\\\.bin"');
  const paths = ['./big.txt', 'missing', 'closed', '.', 'pipe', 'empty', 'q"\\.bin', 'ä\n', 'a\0b'];
  const reply = await toolbox.post('/files/bulk-download', { paths });
  expect(reply.status).toBe(200);
  const got = parts(reply);
  expect(got.map(({ head }) => /name="(\w+)"/.exec(head)![1])).toEqual(['file', 'error', 'error', 'error', 'error', 'file', 'file', 'error', 'error']);
  expect(got[0]!.head).toBe('Content-Disposition: form-data; name="file"; filename="./big.txt"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 700000');
  expect(got[0]!.body.equals(big)).toBe(true);
  expect(got[5]!.body.length).toBe(0);
  expect(got[6]!.head).toContain('filename="q\\"\\\\.bin"');
  expect(got[7]!.head).toContain("filename*=utf-8''%C3%A4%0A");
  const errors = got.filter(({ head }) => head.includes('name="error"')).map(({ body }) => JSON.parse(body.toString()));
  expect(errors.map(({ statusCode, code, path }) => [statusCode, code, path])).toEqual([
    [404, 'FILE_NOT_FOUND', 'missing'], [403, 'FILE_ACCESS_DENIED', 'closed'], [400, 'INVALID_FILE_PATH', '.'], [400, 'INVALID_FILE_PATH', 'pipe'],
    [404, 'FILE_NOT_FOUND', 'ä\n'], [400, 'INVALID_FILE_PATH', 'a\0b'],
  ]);
});

test.each([{}, { paths: [] }, { paths: 'x' }, { paths: [1] }])('%j is refused', async (body) => {
  const toolbox = await startToolbox();
  expect((await toolbox.post('/files/bulk-download', body)).status).toBe(400);
});

test('a file that shrinks while it is sent cuts the connection without the closing boundary', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('head -c 60000000 /dev/zero > f');
  const body = JSON.stringify({ paths: ['f'] });
  const request = http.request({ socketPath: toolbox.socketPath, method: 'POST', path: '/files/bulk-download', headers: { 'Content-Length': body.length } });
  request.end(body);
  const outcome = await new Promise<string>((resolve) => {
    request.on('response', async (response) => {
      response.on('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
      response.on('end', () => resolve('complete'));
      await new Promise((wait) => setTimeout(wait, 100));
      await toolbox.exec('truncate -s 1000 f');
      response.resume();
    });
  });
  expect(outcome).toBe('ECONNRESET');
});

test('a client that goes away leaves no descriptor behind', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('head -c 60000000 /dev/zero > f');
  const open = async () => (await toolbox.exec(`ls -l /proc/${toolbox.child.pid}/fd | grep -c '/f$'`)).json.result.trim();
  const body = JSON.stringify({ paths: ['f'] });
  const request = http.request({ socketPath: toolbox.socketPath, method: 'POST', path: '/files/bulk-download', headers: { 'Content-Length': body.length } });
  request.on('error', () => {});
  request.on('response', () => {});
  request.end(body);
  await eventually(async () => (await open()) === '1');
  request.destroy();
  await eventually(async () => (await open()) === '0');
});

test('the scanner of uploads reads what downloads write', async () => {
  const toolbox = await startToolbox();
  writeFileSync(join(toolbox.dir, 'f'), 'content');
  const reply = await toolbox.post('/files/bulk-download', { paths: ['f'] });
  const scanner = new MultipartScanner(boundaryOf(reply.headers['content-type'])!);
  expect([...scanner.feed(reply.body)].map((event) => (event.type === 'data' ? event.data.toString() : event.type))).toEqual(['part', 'content', 'end']);
});
