import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

const bytes = Buffer.from(Array.from({ length: 600_000 }, (_, at) => (at * 7) % 251));

test('a file with its headers', async () => {
  const toolbox = await startToolbox();
  writeFileSync(join(toolbox.dir, 'ä "q".bin'), bytes);
  const reply = await toolbox.get(`/files/download?path=${encodeURIComponent('ä "q".bin')}`);
  expect(reply.status).toBe(200);
  expect(reply.body.equals(bytes)).toBe(true);
  expect(reply.headers).toMatchObject({
    'content-type': 'application/octet-stream', 'content-length': '600000', 'accept-ranges': 'bytes', expires: '0', pragma: 'public', 'cache-control': 'must-revalidate',
    'content-disposition': `attachment; filename="_ \\"q\\".bin"; filename*=utf-8''%C3%A4%20%22q%22.bin`, 'content-transfer-encoding': 'binary', 'content-description': 'File Transfer',
  });
  const head = await toolbox.send('HEAD', `/files/download?path=${encodeURIComponent('ä "q".bin')}`);
  expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '600000', 0]);
});

test.each([
  ['bytes=0-9', 206, 0, 9], ['bytes=300000-', 206, 300_000, 599_999], ['bytes=-5', 206, 599_995, 599_999], ['bytes=250000-400000', 206, 250_000, 400_000],
  ['bytes=0-9999999', 206, 0, 599_999], ['bytes=-9999999', 206, 0, 599_999], ['bytes=5-2', 200, 0, 599_999], ['bytes=0-1,3-4', 200, 0, 599_999], ['items=0-1', 200, 0, 599_999],
])('the range %s', async (range, status, from, to) => {
  const toolbox = await startToolbox();
  writeFileSync(join(toolbox.dir, 'f'), bytes);
  const reply = await toolbox.get('/files/download?path=f', { Range: range });
  expect([reply.status, reply.headers['content-range']]).toEqual([status, status === 206 ? `bytes ${from}-${to}/600000` : undefined]);
  expect(reply.body.equals(bytes.subarray(from, to + 1))).toBe(true);
});

test('ranges beyond the end, and on a condition', async () => {
  const toolbox = await startToolbox();
  writeFileSync(join(toolbox.dir, 'f'), bytes);
  const beyond = await toolbox.get('/files/download?path=f', { Range: 'bytes=600000-' });
  expect([beyond.status, beyond.headers['content-range']]).toEqual([416, 'bytes */600000']);
  const modified = (await toolbox.send('HEAD', '/files/download?path=f')).headers['last-modified']!;
  expect((await toolbox.get('/files/download?path=f', { Range: 'bytes=0-1', 'If-Range': modified })).status).toBe(206);
  expect((await toolbox.get('/files/download?path=f', { Range: 'bytes=0-1', 'If-Range': 'Thu, 01 Jan 1970 00:00:00 GMT' })).status).toBe(200);
});

test('empty files, and files of /proc that claim to be empty', async () => {
  const toolbox = await startToolbox();
  writeFileSync(join(toolbox.dir, 'empty'), '');
  expect((await toolbox.get('/files/download?path=empty')).headers['content-length']).toBe('0');
  expect((await toolbox.get('/files/download?path=/proc/self/status')).text).toContain('VmRSS');
});

test('what is no readable file', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('mkfifo pipe; touch closed; chmod 0 closed');
  const at = async (path: string) => {
    const { status, json } = await toolbox.get(`/files/download?path=${path}`);
    return [status, json.code];
  };
  expect(await at('.')).toEqual([400, 'BAD_REQUEST']);
  expect(await at('pipe')).toEqual([400, 'BAD_REQUEST']);
  expect(await at('/dev/zero')).toEqual([400, 'BAD_REQUEST']);
  expect(await at('closed')).toEqual([403, 'FILE_ACCESS_DENIED']);
  expect(await at('missing')).toEqual([404, 'FILE_NOT_FOUND']);
});
