import { request, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, ID, KEY, startRig, type Rig } from './helpers.ts';

const TOTAL = 32 * 1024 * 1024;
let rig: Rig;
beforeAll(async () => {
  rig = await startRig((req, res) => {
    if (req.url === '/refuses') res.writeHead(507, { 'content-length': '4' }).end('full');
    else req.resume().on('end', () => res.end('taken'));
  });
});
afterAll(() => rig.close());

/** A client that sends all of its body, whatever comes back, and only then looks. */
function upload(path: string, headers: Record<string, string>, total = TOTAL): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port: rig.port, path, method: 'POST', headers });
    req.on('error', reject);
    req.on('response', (res: IncomingMessage) => {
      let text = '';
      res.on('data', (chunk) => { text += String(chunk); }).on('end', () => resolve({ status: res.statusCode ?? 0, text }));
    });
    let written = 0;
    const chunk = Buffer.alloc(256 * 1024);
    const pump = (): void => {
      while (written < total) {
        written += chunk.length;
        if (!req.write(chunk)) { req.once('drain', pump); return; }
      }
      req.end();
    };
    pump();
  });
}

test('refused by the gateway in the middle of an upload: the client can read why', async () => {
  expect((await upload(`/toolbox/${ID}/x`, {})).status).toBe(401);
  rig.backend.set(ID, { state: 'stopped' });
  expect((await upload(`/toolbox/${ID}/x`, auth)).status).toBe(400);
  rig.backend.set(ID, { state: 'started' });
});

test('refused by the toolbox in the middle of an upload: the client can read why', async () => {
  expect(await upload(`/toolbox/${ID}/refuses`, auth)).toEqual({ status: 507, text: 'full' });
});

test('the connection is still good afterwards', async () => {
  const body = 'x'.repeat(100_000);
  const post = (key: string): string => `POST /toolbox/${ID}/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const text = await rig.raw(post('wrong') + post(KEY));
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 200']);
});

test('Expect: 100-continue is answered only when the body may come', async () => {
  const head = (key: string): string => `POST /toolbox/${ID}/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`;
  const refused = await rig.raw(head('wrong'));
  expect(refused).toMatch(/^HTTP\/1\.1 401 /);
  expect(refused).toMatch(/^Connection: close\r$/m);
  const allowed = await rig.raw(head(KEY));
  expect(allowed).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  const whole = await rig.raw(`${head(KEY)}hello`);
  expect(whole).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
});
