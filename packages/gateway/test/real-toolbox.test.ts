import { createHash, randomBytes } from 'node:crypto';
import { rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { startToolbox, type Toolbox } from '../../toolbox/test/toolbox.ts';
import { fileSignature } from '../src/signed-url.ts';
import { auth, echo, echoed, ID, SIGNING_KEY, startRig, TOKEN, type Rig } from './helpers.ts';

/** Gateway and the toolbox program, joined as in an instance: the socket is where the gateway looks for it. */
async function together(): Promise<{ rig: Rig; toolbox: Toolbox }> {
  const toolbox = await startToolbox();
  const rig = await startRig(echo, { listen: false });
  symlinkSync(toolbox.socketPath, rig.socketPath);
  onTestFinished(async () => {
    rmSync(rig.socketPath, { force: true });
    await rig.close();
  });
  return { rig, toolbox };
}

async function startApp(): Promise<number> {
  const wss = new WebSocketServer({ noServer: true });
  wss.on('connection', (socket, req) => {
    socket.send(JSON.stringify(req.headers));
    socket.on('message', (data) => socket.send(data));
  });
  const app = createServer(echo).on('upgrade', (req, socket, head) => wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req)));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    for (const client of wss.clients) client.terminate();
    app.closeAllConnections();
    await new Promise((resolve) => app.close(resolve));
  });
  return (app.address() as AddressInfo).port;
}

test('a command runs, errors keep the daemon\'s envelope', async () => {
  const { rig } = await together();
  const ran = await rig.send(`/toolbox/${ID}/process/execute`, { method: 'POST', headers: { ...auth, 'content-type': 'application/json' }, body: JSON.stringify({ command: 'echo hi' }) });
  expect(ran.json).toMatchObject({ exitCode: 0, result: 'hi\n' });
  const missing = await rig.send(`/toolbox/${ID}/files/info?path=/nowhere`, { headers: auth });
  expect(missing.status).toBe(404);
  expect(missing.json).toMatchObject({ source: 'DAYTONA_DAEMON' });
});

test('a signed upload and a signed download move the same 64 MiB', async () => {
  const { rig, toolbox } = await together();
  const content = randomBytes(64 * 1024 * 1024);
  const path = `${toolbox.dir}/with space & ü.bin`;
  const url = (route: string, method: string): string =>
    `/toolbox/${ID}${route}?${new URLSearchParams({ path, expires: '0', signature: fileSignature(SIGNING_KEY, method, path, '0') }).toString()}`;
  const body = Buffer.concat([Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'), content, Buffer.from('\r\n--b--\r\n')]);
  const up = await rig.send(url('/files/upload-v2', 'POST'), { method: 'POST', headers: { 'content-type': 'multipart/form-data; boundary=b' }, body });
  expect(up.status).toBe(200);
  const down = await rig.send(url('/files/download', 'GET'));
  expect(down.status).toBe(200);
  const sum = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
  expect(sum(down.body)).toBe(sum(content));
});

test('a preview reaches the app: raw path, its own host name, who asked; nothing of ours', async () => {
  const { rig } = await together();
  const port = await startApp();
  const reply = await rig.send('/a%2Fb//c?q=%20+', { method: 'PUT', host: rig.host(port), headers: { 'x-daytona-preview-token': TOKEN, cookie: 'mine=1' }, body: 'hello' });
  expect(reply.status).toBe(200);
  const seen = echoed(reply);
  expect(seen).toMatchObject({ method: 'PUT', url: '/a%2Fb//c?q=%20+', body: 'hello' });
  expect(seen.headers).toMatchObject({ host: `localhost:${port}`, 'x-forwarded-host': rig.host(port), cookie: 'mine=1' });
  expect(JSON.stringify(seen)).not.toContain(TOKEN);
});

test('a WebSocket reaches the app', async () => {
  const { rig } = await together();
  const port = await startApp();
  const ws = new WebSocket(`ws://127.0.0.1:${rig.port}/chat`, { headers: { host: rig.host(port), 'x-daytona-preview-token': TOKEN } });
  const hello = await new Promise<string>((resolve, reject) => ws.once('message', (data) => resolve(String(data))).once('error', reject));
  expect(JSON.parse(hello)).toMatchObject({ host: `localhost:${port}` });
  const message = randomBytes(1024 * 1024);
  ws.send(message);
  expect(await new Promise<Buffer>((resolve) => ws.once('message', (data) => resolve(data as Buffer)))).toEqual(message);
  ws.close();
});

test('no app on the port: 502 in an envelope, also for a WebSocket', async () => {
  const { rig } = await together();
  const reply = await rig.send('/', { host: rig.host(9), headers: auth });
  expect(reply.status).toBe(502);
  expect(typeof reply.json['message']).toBe('string');
  const ws = new WebSocket(`ws://127.0.0.1:${rig.port}/`, { headers: { host: rig.host(9), ...auth } });
  ws.on('error', () => {});
  expect(await new Promise((resolve) => ws.once('unexpected-response', (_req, res) => resolve(res.statusCode)))).toBe(502);
});

test('an app that ignores the upgrade leaves no line to the toolbox behind', async () => {
  const { rig } = await together();
  const app = createServer((_req, res) => res.end('no socket here'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const port = (app.address() as AddressInfo).port;
  rig.backend.set(ID, { public: true });
  const text = await rig.raw(`GET / HTTP/1.1\r\nHost: ${rig.host(port)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`
    + 'POST /process/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"command":"id"}', { idleMs: 10_000 });
  app.closeAllConnections();
  app.close();
  expect(text).toContain('no socket here');
  expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
});

test('the toolbox\'s /init stays out of reach with the real router', async () => {
  const { rig, toolbox } = await together();
  const init = { method: 'POST', headers: { ...auth, 'content-type': 'application/json' }, body: '{"env":{"STOLEN":"1"}}' };
  for (const path of ['/init', '//init', '/init/', '/%69nit', `/proxy/2280/init`, '/./init', '/init//', '/proxy/3000/../../init']) {
    expect((await rig.send(`/toolbox/${ID}${path}`, init)).status, path).toBe(404);
    await rig.send(path, { ...init, host: rig.host(3000) });
    await rig.send(`/..${path}`, { ...init, host: rig.host(3000) });
  }
  expect((await toolbox.exec('echo [$STOLEN]')).json.result).toBe('[]\n');
});
