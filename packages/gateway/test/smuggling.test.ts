import { createServer } from 'node:net';
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { auth, echo, ID, startRig, type Rig } from './helpers.ts';

let rig: Rig;
const seen: string[] = [];
beforeAll(async () => { rig = await startRig((req, res) => { seen.push(`${req.method} ${req.url}`); echo(req, res); }); });
beforeEach(() => { seen.length = 0; });
afterAll(() => rig.close());

const INNER = 'POST /init HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n';
const lines = (first: string, ...rest: string[]): string => [first, 'Host: localhost', `Authorization: ${auth.authorization}`, ...rest, '', ''].join('\r\n');

test.each([
  ['length and chunked', ['Content-Length: 4', 'Transfer-Encoding: chunked']],
  ['two lengths', ['Content-Length: 4', 'Content-Length: 5']],
  ['a list of lengths', ['Content-Length: 4, 5']],
  ['a signed length', ['Content-Length: +4']],
  ['chunked that is not last', ['Transfer-Encoding: chunked, identity']],
  ['obfuscated chunked', ['Transfer-Encoding: xchunked']],
  ['space before the colon', ['Content-Length : 4']],
  ['folded header', ['X-A: b', ' Content-Length: 4']],
])('%s: 400 and nothing is forwarded', async (_name, headers) => {
  const text = await rig.raw(`${lines(`POST /toolbox/${ID}/x HTTP/1.1`, ...headers)}0\r\n\r\n${INNER}`);
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(seen).toEqual([]);
});

test('a body that looks like a request stays a body', async () => {
  await rig.raw(lines(`POST /toolbox/${ID}/x HTTP/1.1`, `Content-Length: ${INNER.length}`, 'Connection: close').concat(INNER));
  await rig.raw(lines(`POST /toolbox/${ID}/x HTTP/1.1`, 'Transfer-Encoding: chunked', 'Connection: close, transfer-encoding').concat(`${INNER.length.toString(16)}\r\n${INNER}\r\n0\r\n\r\n`));
  await rig.raw(lines(`GET /toolbox/${ID}/x HTTP/1.1`, `Content-Length: ${INNER.length}`, 'Connection: close, content-length').concat(INNER));
  expect(seen).toEqual([`POST /x`, `POST /x`, `GET /x`]);
});

test('line ends in path and query do not become headers', async () => {
  const reply = await rig.send(`/toolbox/${ID}/a%0d%0aX-Evil:%201?b=%0d%0aX-Evil:%201`, { headers: auth });
  expect(reply.status).toBe(200);
  expect(reply.text).not.toMatch(/"x-evil"/);
});

test('two Host headers and an absolute target are refused', async () => {
  const two = await rig.raw(`GET /toolbox/${ID}/x HTTP/1.1\r\nHost: localhost\r\nHost: ${rig.host(3000)}\r\nAuthorization: ${auth.authorization}\r\nConnection: close\r\n\r\n`);
  expect(two).toMatch(/^HTTP\/1\.1 400 /);
  const absolute = await rig.raw(`GET http://${rig.host(2280)}/init HTTP/1.1\r\nHost: ${rig.host(3000)}\r\nAuthorization: ${auth.authorization}\r\nConnection: close\r\n\r\n`);
  expect(absolute).toMatch(/^HTTP\/1\.1 400 /);
  expect(seen).toEqual([]);
});

test('an upgrade that the other side does not take leaves no raw line to it', async () => {
  const handshake = lines(`GET /toolbox/${ID}/x HTTP/1.1`, 'Connection: Upgrade', 'Upgrade: websocket');
  const text = await rig.raw(handshake + INNER + INNER);
  expect(text).toMatch(/^HTTP\/1\.1 200 OK/);
  expect(text).toMatch(/^Connection: close\r$/im);
  expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(seen).toEqual(['GET /x']);
});

test('an upgrade to something else is an ordinary request; with a body it is refused', async () => {
  const h2c = await rig.raw(lines(`GET /toolbox/${ID}/x HTTP/1.1`, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'));
  expect(h2c).toMatch(/^HTTP\/1\.1 200 OK/);
  expect(h2c).not.toMatch(/http2-settings|h2c/i);
  const body = await rig.raw(lines(`GET /toolbox/${ID}/x HTTP/1.1`, 'Connection: Upgrade', 'Upgrade: websocket', 'Content-Length: 4').concat('abcd'));
  expect(body).toMatch(/^HTTP\/1\.1 400 /);
});

test('a reply with a forged second reply in it does not answer the next request', async () => {
  rig.backend.set(ID, { state: 'started' });
  const evil = await startRig(echo, { listen: false });
  const server = createServer((socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!'));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(evil.socketPath, resolve));
  expect((await evil.send(`/toolbox/${ID}/1`, { headers: auth })).text).toBe('ok');
  expect((await evil.send(`/toolbox/${ID}/2`, { headers: auth })).text).toBe('ok');
  server.close();
  rmSync(evil.socketPath, { force: true });
  await evil.close();
});
