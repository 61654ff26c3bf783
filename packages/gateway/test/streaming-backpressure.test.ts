import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, dial, ID, later, startRig, until, type Rig } from './helpers.ts';

const CHUNK = Buffer.alloc(64 * 1024, 1);
/** Sockets of both hops, stream buffers and kernel: what may lie between a writer and a reader that does not read. */
const IN_FLIGHT_BYTES = 24 * 1024 * 1024;
let rig: Rig;
let sent = 0;
let received = 0;
let go: (() => void) | null = null;

beforeAll(async () => {
  rig = await startRig((req, res) => {
    if (req.url === '/flood') {
      const pump = (): void => {
        while (!res.destroyed && sent < 200e6) {
          sent += CHUNK.length;
          if (!res.write(CHUNK)) { res.once('drain', pump); return; }
        }
        res.end();
      };
      pump();
    } else if (req.url === '/slow-reader') {
      go = () => req.on('data', (chunk: Buffer) => { received += chunk.length; }).on('end', () => res.end(String(received)));
    } else if (req.url === '/events') {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.flushHeaders();
      go = () => void res.write('data: 1\n\n');
    }
  });
});
afterAll(() => rig.close());

test('a download waits for a client that does not read', async () => {
  const socket = await dial(rig.port);
  socket.pause();
  socket.write(`GET /toolbox/${ID}/flood HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${auth.authorization}\r\n\r\n`);
  await until(() => sent > 0);
  await later(300);
  const stuck = sent;
  expect(stuck).toBeLessThan(IN_FLIGHT_BYTES);
  await later(200);
  expect(sent).toBe(stuck);
  socket.resume();
  await until(() => sent > stuck);
  socket.destroy();
});

test('an upload waits for a toolbox that does not read', async () => {
  const req = request({ host: '127.0.0.1', port: rig.port, path: `/toolbox/${ID}/slow-reader`, method: 'POST', headers: auth });
  let written = 0;
  const total = 64 * 1024 * 1024;
  const pump = (): void => {
    while (written < total) {
      written += CHUNK.length;
      if (!req.write(CHUNK)) { req.once('drain', pump); return; }
    }
    req.end();
  };
  const reply = new Promise<string>((resolve) => req.on('response', (res) => { res.setEncoding('utf8').on('data', resolve); }));
  pump();
  await until(() => go !== null);
  await later(300);
  expect(written).toBeLessThan(IN_FLIGHT_BYTES);
  go?.();
  expect(await reply).toBe(String(total));
});

test('headers and events of a stream arrive as they are sent', async () => {
  go = null;
  const req = request({ host: '127.0.0.1', port: rig.port, path: `/toolbox/${ID}/events`, headers: auth }).end();
  const res = await new Promise<import('node:http').IncomingMessage>((resolve) => req.on('response', resolve));
  expect(res.headers['content-type']).toBe('text/event-stream');
  const first = new Promise((resolve) => res.once('data', (chunk) => resolve(String(chunk))));
  (go as unknown as () => void)();
  expect(await first).toBe('data: 1\n\n');
  req.destroy();
});
