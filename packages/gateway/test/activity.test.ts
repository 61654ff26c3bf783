import { request } from 'node:http';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { auth, echo, ID, startRig, until, type Rig } from './helpers.ts';

let rig: Rig;
const wss = new WebSocketServer({ noServer: true });
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'Date'] });
  rig = await startRig((req, res) => {
    if (req.url === '/open') res.write('begun');
    else echo(req, res);
  }, { onUpgrade: (req, socket, head) => wss.handleUpgrade(req, socket, head, (ws) => ws.send('hello')) });
});
afterEach(async () => { await rig.close(); vi.useRealTimers(); });

const SKIP = { 'X-Daytona-Skip-Last-Activity-Update': 'true' };

test('each use counts, at most once a second', async () => {
  for (let i = 0; i < 3; i += 1) await rig.send(`/toolbox/${ID}/x`, { headers: auth });
  expect(rig.backend.touched).toEqual([ID]);
  vi.setSystemTime(Date.now() + 1001);
  await rig.send('/', { host: rig.host(3000), headers: auth });
  expect(rig.backend.touched).toEqual([ID, ID]);
});

test('requests that ask for it do not count, nor do refused ones', async () => {
  await rig.send(`/toolbox/${ID}/x`, { headers: { ...auth, ...SKIP } });
  await rig.send(`/toolbox/${ID}/x`);
  expect(rig.backend.touched).toEqual([]);
});

test('an open stream counts on, and once more at its end', async () => {
  const req = request({ host: '127.0.0.1', port: rig.port, path: `/toolbox/${ID}/open`, headers: auth }).end();
  await new Promise((resolve) => req.on('response', (res) => res.once('data', resolve)));
  expect(rig.backend.touched).toHaveLength(1);
  vi.advanceTimersByTime(45_000);
  vi.advanceTimersByTime(45_000);
  expect(rig.backend.touched).toHaveLength(3);
  vi.setSystemTime(Date.now() + 5000);
  req.on('error', () => {});
  req.destroy();
  await until(() => rig.backend.touched.length === 4);
  vi.advanceTimersByTime(90_000);
  expect(rig.backend.touched).toHaveLength(4);
});

test('an open stream that asked not to count never does', async () => {
  const req = request({ host: '127.0.0.1', port: rig.port, path: `/toolbox/${ID}/open`, headers: { ...auth, ...SKIP } }).end();
  await new Promise((resolve) => req.on('response', (res) => res.once('data', resolve)));
  vi.advanceTimersByTime(90_000);
  req.on('error', () => {});
  req.destroy();
  expect(rig.backend.touched).toEqual([]);
});

test('an open WebSocket counts on until it closes', async () => {
  const ws = new WebSocket(`ws://127.0.0.1:${rig.port}/toolbox/${ID}/ws`, { headers: auth });
  await new Promise((resolve) => ws.once('message', resolve));
  vi.advanceTimersByTime(45_000);
  expect(rig.backend.touched).toHaveLength(2);
  ws.terminate();
  vi.setSystemTime(Date.now() + 5000);
  await until(() => rig.backend.touched.length === 3);
  vi.advanceTimersByTime(90_000);
  expect(rig.backend.touched).toHaveLength(3);
});
