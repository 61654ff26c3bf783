import { expect, test } from 'vitest';
import { startToolbox, type Reply } from './toolbox.ts';

const envelope = (reply: Reply) => {
  expect(reply.headers['content-type']).toContain('application/json');
  expect(reply.json).toMatchObject({
    statusCode: reply.status, message: expect.stringMatching(/./), source: 'DAYTONA_DAEMON', path: expect.stringMatching(/^\//), timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
  });
  return [reply.status, reply.json.code];
};

test('an unknown route is a 404 with the envelope', async () => {
  const toolbox = await startToolbox();
  expect(envelope(await toolbox.get('/no/such/route'))).toEqual([404, 'NOT_FOUND']);
});

test('a wrong method is a 405 that names the right ones', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.send('PUT', '/files');
  expect(envelope(reply)[0]).toBe(405);
  expect(reply.headers.allow).toBe('GET, DELETE');
});

test.each(['', '{', '[]', 'null', '"text"', '{"command": }'])('the body %j is refused', async (body) => {
  const toolbox = await startToolbox();
  expect(envelope(await toolbox.post('/process/execute', body))).toEqual([400, 'INVALID_REQUEST_BODY']);
});

test.each([{}, { command: '' }, { command: '  \n' }, { command: null }, { command: 1 }, { command: 'x', cwd: 1 }, { command: 'x', timeout: 'soon' }, { command: 'x', timeout: -1 }, { command: 'x', cwd: 'a\0b' }])(
  'the command %j is refused', async (body) => {
    const toolbox = await startToolbox();
    expect(envelope(await toolbox.post('/process/execute', body))).toEqual([400, 'INVALID_REQUEST_BODY']);
  });

test('a JSON body over 64 MiB is a 413, announced or not', async () => {
  const toolbox = await startToolbox();
  const big = Buffer.alloc(64 * 1024 * 1024 + 1, 0x20);
  expect(envelope(await toolbox.post('/process/execute', big))[0]).toBe(413);
  const [head] = (await toolbox.raw('POST /process/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n')).split('\r\n');
  expect(head).toBe('HTTP/1.1 413 Payload Too Large');
});

test.each(['%', '%zz', '%ff', '%c3%28'])('the percent-encoding %s is refused', async (path) => {
  const toolbox = await startToolbox();
  expect(envelope(await toolbox.get(`/files/info?path=${path}`))).toEqual([400, 'BAD_REQUEST']);
  expect(envelope(await toolbox.get(`/port/${path}/in-use`))).toEqual([400, 'BAD_REQUEST']);
});

test('paths with NUL, names too long, files as directories and loops of links are the caller\'s mistakes', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('ln -s loop loop; echo x > file');
  for (const path of ['a%00b', 'x'.repeat(300), `${'d/'.repeat(3000)}x`, 'file/below', 'loop']) {
    expect([path.slice(0, 10), envelope(await toolbox.get(`/files/info?path=${path}`))]).toEqual([path.slice(0, 10), [400, 'BAD_REQUEST']]);
  }
  expect(envelope(await toolbox.get('/files/info'))).toEqual([400, 'BAD_REQUEST']);
});

test.each([
  ['garbage', 'NONSENSE\r\n\r\n', 400],
  ['a target that is no path', 'GET http: HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 400],
  ['headers over 64 KiB', `GET /version HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`, 431],
])('%s gets an envelope, too', async (_, bytes, status) => {
  const toolbox = await startToolbox();
  const text = await toolbox.raw(bytes);
  expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n')))).toMatchObject({ statusCode: status, source: 'DAYTONA_DAEMON' });
});

test('trailing slashes change nothing', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.get('/files/?path=.')).json).toEqual([]);
  expect((await toolbox.get('/version//')).status).toBe(200);
});

test('a connection survives errors', async () => {
  const toolbox = await startToolbox();
  const text = await toolbox.raw('POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  expect(text.match(/HTTP\/1\.1 (\d+)/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 200']);
});

test('operations without code answer 501', async () => {
  const toolbox = await startToolbox();
  const requests = [['GET', '/computeruse/status'], ['POST', '/computeruse/mouse/click'], ['DELETE', '/computeruse/recordings/7']] as const;
  for (const [method, path] of requests) expect([path, envelope(await toolbox.send(method, path))[0]]).toEqual([path, 501]);
});

test('a WebSocket offer to a route that speaks none gets its plain answer, not a switch', async () => {
  const toolbox = await startToolbox();
  const text = await toolbox.raw('GET /computeruse/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n');
  expect(text).toMatch(/^HTTP\/1.1 501 /);
});
