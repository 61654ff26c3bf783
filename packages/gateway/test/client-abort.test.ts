import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { auth, ID, later, startRig, until, type Rig } from './helpers.ts';

let rig: Rig;
const seen: { begun: number; aborted: number; ended: number } = { begun: 0, aborted: 0, ended: 0 };

beforeAll(async () => {
  rig = await startRig((req, res) => {
    seen.begun += 1;
    req.on('end', () => { seen.ended += 1; });
    req.on('error', () => {});
    res.on('close', () => { if (!res.writableFinished) seen.aborted += 1; });
    req.resume();
    if (req.url === '/stream') setInterval(() => res.destroyed || res.write('x'), 10).unref();
    if (req.url === '/cut') { res.writeHead(200, { 'content-length': '1000' }); res.write('half'); setTimeout(() => res.destroy(), 30); }
    if (req.url === '/cut-chunked') { res.write('half'); setTimeout(() => res.destroy(), 30); }
    if (req.url === '/hang-up') res.destroy();
  });
});
beforeEach(() => { Object.assign(seen, { begun: 0, aborted: 0, ended: 0 }); });
afterAll(() => rig.close());

function open(path: string, method = 'GET', headers = {}) {
  const req = request({ host: '127.0.0.1', port: rig.port, path: `/toolbox/${ID}${path}`, method, headers: { ...auth, ...headers } });
  req.on('error', () => {});
  return req;
}

test('leaving while waiting for the reply ends the request in the sandbox', async () => {
  const req = open('/wait').end() as ReturnType<typeof open>;
  await until(() => seen.begun === 1);
  req.destroy();
  await until(() => seen.aborted === 1);
});

test('leaving in the middle of a stream ends it', async () => {
  const req = open('/stream').end() as ReturnType<typeof open>;
  await new Promise((resolve) => req.on('response', (res) => res.once('data', resolve)));
  req.destroy();
  await until(() => seen.aborted === 1);
});

test.each([{ 'content-length': '1000000' }, { 'transfer-encoding': 'chunked' }])('leaving in the middle of an upload never looks like its end: %j', async (headers) => {
  const req = open('/upload', 'POST', headers);
  req.write('some');
  await until(() => seen.begun === 1);
  await later(30);
  req.destroy();
  await until(() => seen.aborted === 1);
  expect(seen.ended).toBe(0);
});

test.each(['/cut', '/cut-chunked'])('a reply cut in the sandbox is cut for the client: %s', async (path) => {
  const req = open(path).end() as ReturnType<typeof open>;
  const res = await new Promise<IncomingMessage>((resolve) => req.on('response', resolve));
  const end = await new Promise<string>((resolve) => res.on('error', () => resolve('cut')).on('end', () => resolve('complete')).resume());
  expect(end).toBe('cut');
  expect(res.complete).toBe(false);
});

test('an HTTP/1.0 client, which knows no framing, gets a reset', async () => {
  const socket = connect(rig.port, '127.0.0.1');
  const end = new Promise<string>((resolve) => socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '')).on('end', () => resolve('end')).resume());
  socket.write(`GET /toolbox/${ID}/cut-chunked HTTP/1.0\r\nHost: localhost\r\nAuthorization: ${auth.authorization}\r\n\r\n`);
  expect(await end).toBe('ECONNRESET');
});

test('a toolbox that hangs up without a reply: 502, reported once', async () => {
  const reply = await rig.send(`/toolbox/${ID}/hang-up`, { method: 'POST', headers: auth, body: 'x' });
  expect(reply.status).toBe(502);
  expect(reply.json).toMatchObject({ source: 'DAYTONA_PROXY', code: 'BAD_GATEWAY' });
  expect(rig.backend.failures).toHaveLength(1);
  expect(rig.backend.failures[0]).toMatchObject({ sandboxId: ID, status: 502 });
});
