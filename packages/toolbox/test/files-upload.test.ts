import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually, multipart, startToolbox } from './toolbox.ts';

const at = (toolbox: { dir: string }, name: string) => join(toolbox.dir, name);
const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 31) % 256));

test('pairs of path and file, in either order of clients', async () => {
  const toolbox = await startToolbox();
  const interleaved = multipart([['files[0].path', null, 'a/b/one'], ['files[0].file', 'ignored', bytes], ['files[1].path', null, at(toolbox, 'two')], ['files[1].file', 'x', '']]);
  const reply = await toolbox.post('/files/bulk-upload', interleaved.body, interleaved.headers);
  expect([reply.status, reply.json]).toEqual([200, { files: [{ path: 'a/b/one', bytes: 300_000 }, { path: at(toolbox, 'two'), bytes: 0 }] }]);
  expect(readFileSync(at(toolbox, 'a/b/one')).equals(bytes)).toBe(true);
  expect([statSync(at(toolbox, 'a')).mode & 0o777, statSync(at(toolbox, 'two')).mode & 0o777]).toEqual([0o755, 0o644]);
  const pathsFirst = multipart([['files[0].path', null, 'p'], ['files[1].path', null, 'q'], ['files[0].file', 'x', 'P'], ['files[1].file', 'x', 'Q']]);
  await toolbox.post('/files/bulk-upload', pathsFirst.body, pathsFirst.headers);
  expect([readFileSync(at(toolbox, 'p'), 'utf8'), readFileSync(at(toolbox, 'q'), 'utf8')]).toEqual(['P', 'Q']);
});

test('writes in place: links, mode and shorter content', async () => {
  const toolbox = await startToolbox();
  writeFileSync(at(toolbox, 'target'), 'a longer text', { mode: 0o600 });
  symlinkSync('target', at(toolbox, 'link'));
  const { body, headers } = multipart([['files[0].path', null, 'link'], ['files[0].file', 'x', 'short']]);
  expect((await toolbox.post('/files/bulk-upload', body, headers)).status).toBe(200);
  expect([readFileSync(at(toolbox, 'target'), 'utf8'), statSync(at(toolbox, 'target')).mode & 0o777]).toEqual(['short', 0o600]);
});

test('what goes wrong with one file leaves the others, and the body is read to its end', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('mkdir dir; touch closed; chmod 400 closed; mkfifo pipe; touch plain');
  const big = Buffer.alloc(5_000_000, 'x');
  const { body, headers } = multipart([
    ['files[0].file', 'x', big], ['files[1].path', null, 'dir'], ['files[1].file', 'x', big], ['files[2].path', null, 'closed'], ['files[2].file', 'x', 'x'],
    ['files[3].path', null, 'pipe'], ['files[3].file', 'x', 'x'], ['files[4].path', null, 'plain/below'], ['files[4].file', 'x', 'x'],
    ['files[5].path', null, 'a\0b'], ['files[5].file', 'x', 'x'], ['files[6].path', null, 'fine'], ['files[6].file', 'x', 'fine'], ['other', null, 'ignored'],
  ]);
  const reply = await toolbox.post('/files/bulk-upload', body, headers);
  expect(reply.status).toBe(400);
  expect(reply.json).toMatchObject({ statusCode: 400, source: 'DAYTONA_DAEMON', files: [{ path: 'fine', bytes: 4 }] });
  expect(reply.json.errors.map((error: string) => error.replace(toolbox.dir, ''))).toEqual([
    expect.stringContaining('files[0].file has no path'), expect.stringContaining('is a directory: /dir'), 'permission denied: /closed',
    expect.stringContaining('not a regular file: /pipe'), expect.stringContaining('not a directory: /plain'), expect.stringContaining('NUL'),
  ]);
  expect(readFileSync(at(toolbox, 'fine'), 'utf8')).toBe('fine');
});

test.each([
  ['no multipart', Buffer.from('x'), { 'Content-Type': 'application/json' }],
  ['no boundary', Buffer.from('x'), { 'Content-Type': 'multipart/form-data' }],
  ['never closed', Buffer.from('--b\r\nContent-Disposition: form-data; name="files[0].path"\r\n\r\nx'), { 'Content-Type': 'multipart/form-data; boundary=b' }],
  ['no name', Buffer.from('--b\r\n\r\nx\r\n--b--'), { 'Content-Type': 'multipart/form-data; boundary=b' }],
  ['text after a boundary', Buffer.from('--b and more\r\n\r\nx\r\n--b--'), { 'Content-Type': 'multipart/form-data; boundary=b' }],
  ['endless headers', Buffer.concat([Buffer.from('--b\r\nX: '), Buffer.alloc(100_000, 'h')]), { 'Content-Type': 'multipart/form-data; boundary=b' }],
  ['an endless path', multipart([['files[0].path', null, 'x'.repeat(200_000)]], 'b').body, { 'Content-Type': 'multipart/form-data; boundary=b' }],
])('a body with %s is refused', async (_, body, headers) => {
  const toolbox = await startToolbox();
  for (const route of ['bulk-upload', 'upload?path=f']) {
    if (route.startsWith('upload') && !headers['Content-Type'].includes('boundary')) continue;
    const reply = await toolbox.post(`/files/${route}`, body, headers);
    expect([route, reply.status, reply.json.code]).toEqual([route, 400, 'BAD_REQUEST']);
  }
});

test('chunked, with no length announced', async () => {
  const toolbox = await startToolbox();
  const { body, headers } = multipart([['files[0].path', null, 'f'], ['files[0].file', 'x', bytes]]);
  const status = await new Promise((resolve) => {
    const request = http.request({ socketPath: toolbox.socketPath, method: 'POST', path: '/files/bulk-upload', headers }, (response) => resolve(response.resume().statusCode));
    for (let from = 0; from < body.length; from += 777) request.write(body.subarray(from, from + 777));
    request.end();
  });
  expect(status).toBe(200);
  expect(readFileSync(at(toolbox, 'f')).equals(bytes)).toBe(true);
});

test('a client that goes away in the middle leaves no descriptor behind', async () => {
  const toolbox = await startToolbox();
  const { body, headers } = multipart([['files[0].path', null, 'f'], ['files[0].file', 'x', bytes]]);
  const request = http.request({ socketPath: toolbox.socketPath, method: 'POST', path: '/files/bulk-upload', headers });
  request.on('error', () => {});
  request.write(body.subarray(0, 200_000));
  await eventually(() => existsSync(at(toolbox, 'f')));
  request.destroy();
  await eventually(async () => (await toolbox.exec(`ls -l /proc/${toolbox.child.pid}/fd | grep -c '/f$'`)).json.result.trim() === '0');
  expect((await toolbox.get('/version')).status).toBe(200);
});

test('upload-v2: as form or raw; the legacy upload: an empty reply', async () => {
  const toolbox = await startToolbox();
  const form = multipart([['comment', null, 'x'], ['file', 'f', bytes]]);
  const v2 = await toolbox.post('/files/upload-v2?path=new/form', form.body, form.headers);
  expect([v2.status, v2.json]).toEqual([200, { name: 'form', path: at(toolbox, 'new/form'), type: 'file' }]);
  expect(readFileSync(at(toolbox, 'new/form')).equals(bytes)).toBe(true);
  expect((await toolbox.post('/files/upload-v2?path=raw', bytes, { 'Content-Type': 'application/octet-stream' })).status).toBe(200);
  expect(readFileSync(at(toolbox, 'raw')).equals(bytes)).toBe(true);
  const legacy = await toolbox.post('/files/upload?path=old/f', form.body, form.headers);
  expect([legacy.status, legacy.text, statSync(at(toolbox, 'old')).mode & 0o777]).toEqual([200, '', 0o750]);
});

test('upload-v2 that cannot be', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const outcome = async (query: string, parts: Parameters<typeof multipart>[0]) => {
    const { body, headers } = multipart(parts);
    const { status, json } = await toolbox.post(`/files/upload-v2${query}`, body, headers);
    return [status, json.code];
  };
  expect(await outcome('', [['file', 'f', 'x']])).toEqual([400, 'BAD_REQUEST']);
  expect(await outcome('?path=f', [['other', 'f', 'x']])).toEqual([400, 'BAD_REQUEST']);
  expect(await outcome('?path=.', [['file', 'f', Buffer.alloc(3_000_000)]])).toEqual([400, 'BAD_REQUEST']);
  expect(await outcome('?path=/etc/hosts', [['file', 'f', Buffer.alloc(3_000_000)]])).toEqual([403, 'FILE_ACCESS_DENIED']);
  expect((await toolbox.post('/files/upload-v2?path=/etc/hosts', Buffer.alloc(3_000_000), { 'Content-Type': 'x/y' })).status).toBe(403);
});
