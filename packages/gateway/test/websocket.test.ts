import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { auth, dial, echo, ID, later, startRig, TOKEN, until, type Rig } from './helpers.ts';

let rig: Rig;
let rawSocket: Duplex | null = null;
let ended = false;
const wss = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered].find((name) => name.startsWith('X-Daytona-SDK-Version')) ?? false });

beforeAll(async () => {
  wss.on('connection', (socket, req) => {
    socket.send(JSON.stringify({ url: req.url, headers: req.headers }));
    socket.on('message', (data, binary) => { if (String(data) === 'close please') socket.close(4008, 'why'); else socket.send(data, { binary }); });
  });
  rig = await startRig(echo, {
    onUpgrade(req, socket, head) {
      if (req.url === '/raw') {
        rawSocket = socket;
        ended = false;
        socket.on('error', () => {}).on('end', () => { ended = true; });
        const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\nfirst bytes`);
      } else if (req.url === '/refused') {
        socket.end('HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 24\r\nConnection: close\r\n\r\n{"message":"no session"}');
      } else wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req));
    },
  });
});
beforeEach(() => rig.backend.set(ID, { public: false, state: 'started' }));
afterAll(async () => { wss.close(); await rig.close(); });

const url = (path = '/x'): string => `ws://127.0.0.1:${rig.port}/toolbox/${ID}${path}`;
const opened = (ws: WebSocket): Promise<Record<string, never>> => new Promise((resolve, reject) => ws.once('message', (data) => resolve(JSON.parse(String(data)))).once('error', reject));
const refusal = (ws: WebSocket): Promise<{ status: number; text: string }> => new Promise((resolve) => {
  ws.on('error', () => {});
  ws.once('unexpected-response', (_req, res) => {
    let text = '';
    res.on('data', (chunk) => { text += String(chunk); }).on('end', () => resolve({ status: res.statusCode ?? 0, text }));
  });
});

test('a Bearer on the handshake opens it; it and the preview token stay here', async () => {
  const ws = new WebSocket(url('/process/pty/create-connect?id=a%20b&cols=80'), { headers: { ...auth, 'X-Daytona-SDK-Version': '0.216.0' } });
  const hello = await opened(ws) as unknown as { url: string; headers: Record<string, string> };
  expect(hello.url).toBe('/process/pty/create-connect?id=a%20b&cols=80');
  expect(hello.headers['authorization']).toBeUndefined();
  expect(hello.headers['x-daytona-sdk-version']).toBe('0.216.0');
  expect(ws.protocol).toBe('');
  ws.close();
});

test('browsers: token in the query, version as subprotocol, which is echoed untouched', async () => {
  const ws = new WebSocket(`${url()}?a=1&DAYTONA_SANDBOX_AUTH_KEY=${TOKEN}`, ['X-Daytona-SDK-Version~0.216.0', 'X-Daytona-Pty-Exit-Control'], { origin: 'https://page.example' });
  const hello = await opened(ws) as unknown as { url: string };
  expect(hello.url).toBe('/x?a=1');
  expect(ws.protocol).toBe('X-Daytona-SDK-Version~0.216.0');
  ws.close();
});

test('previews: public without a credential, the query key sets the cookie', async () => {
  const private_ = await refusal(new WebSocket(`ws://127.0.0.1:${rig.port}/`, { headers: { host: rig.host(3000) } }));
  expect(private_.status).toBe(401);
  const ws = new WebSocket(`ws://127.0.0.1:${rig.port}/?DAYTONA_SANDBOX_AUTH_KEY=${TOKEN}`, { headers: { host: rig.host(3000) } });
  const cookies = await new Promise<string[] | undefined>((resolve) => ws.once('upgrade', (res) => resolve(res.headers['set-cookie'])));
  expect(cookies?.[0]).toMatch(/^daytona-sandbox-auth-/);
  ws.close();
  rig.backend.set(ID, { public: true });
  const open = new WebSocket(`ws://127.0.0.1:${rig.port}/chat`, { headers: { host: rig.host(3000) } });
  expect((await opened(open) as unknown as { url: string }).url).toBe('/proxy/3000/chat');
  open.close();
});

test('messages of any size pass both ways, close codes too', async () => {
  const ws = new WebSocket(url(), { headers: auth });
  await opened(ws);
  const big = Buffer.alloc(8 * 1024 * 1024, 3);
  ws.send(big);
  const back = await new Promise<Buffer>((resolve) => ws.once('message', (data) => resolve(data as Buffer)));
  expect(back.equals(big)).toBe(true);
  ws.send('close please');
  expect(await new Promise((resolve) => ws.once('close', (code, reason) => resolve(`${code} ${reason}`)))).toBe('4008 why');
});

test('refusals are HTTP replies with their body', async () => {
  expect(await refusal(new WebSocket(url(), { headers: { authorization: 'Bearer no' } }))).toMatchObject({ status: 401 });
  expect(await refusal(new WebSocket(url('/refused'), { headers: auth }))).toEqual({ status: 404, text: '{"message":"no session"}' });
  rig.backend.set(ID, { state: 'stopped' });
  const stopped = await refusal(new WebSocket(url(), { headers: auth }));
  expect(stopped.status).toBe(400);
  expect(JSON.parse(stopped.text)).toMatchObject({ source: 'DAYTONA_PROXY', statusCode: 400 });
});

async function rawTunnel() {
  rawSocket = null;
  const socket = await dial(rig.port);
  let text = '';
  socket.on('data', (chunk) => { text += String(chunk); });
  socket.on('error', () => {});
  socket.write(`GET /toolbox/${ID}/raw HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${auth.authorization}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nhead bytes`);
  await until(() => text.includes('first bytes'));
  return { socket, received: () => text };
}

test('bytes sent along with the handshake, from either side, are not lost', async () => {
  const { socket, received } = await rawTunnel();
  expect(received()).toMatch(/\r\n\r\nfirst bytes$/);
  let upstream = '';
  rawSocket?.on('data', (chunk) => { upstream += String(chunk); });
  await until(() => upstream === 'head bytes');
  socket.destroy();
});

test('one side may end while the other goes on', async () => {
  const { socket, received } = await rawTunnel();
  rawSocket?.resume();
  socket.end('last words');
  await until(() => ended);
  rawSocket?.write('still talking');
  await until(() => received().endsWith('still talking'));
  rawSocket?.end('bye');
  await until(() => received().endsWith('bye'));
  await until(() => socket.destroyed || socket.readableEnded);
});

test('a side that breaks breaks the other', async () => {
  const one = await rawTunnel();
  (rawSocket as unknown as Duplex).resume();
  one.socket.resetAndDestroy();
  await until(() => ended);
  const two = await rawTunnel();
  rawSocket?.destroy();
  await until(() => two.socket.destroyed || two.socket.readableEnded);
});

test('a silent tunnel stays open', async () => {
  const { socket } = await rawTunnel();
  await later(1500);
  expect(socket.destroyed).toBe(false);
  socket.destroy();
});
