import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, echo, echoed, ID, startRig, type Rig } from './helpers.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig((req, res) => {
    if (req.url === '/trailers') {
      res.writeHead(200, { Trailer: 'X-Sum' });
      res.write('body');
      res.addTrailers({ 'X-Sum': '42' });
      res.end();
    } else if (req.url === '/hints') {
      res.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => res.end('done'));
    } else if (req.url === '/none') res.writeHead(204).end();
    else if (req.url === '/not-modified') res.writeHead(304, { etag: '"1"' }).end();
    else if (req.url === '/no-upgrade') res.socket?.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    else if (req.url === '/invalid') res.socket?.end('HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n');
    else if (req.url === '/sized') res.writeHead(200, { 'content-length': '5' }).end(req.method === 'HEAD' ? undefined : 'hello');
    else if (req.url === '/cookies') res.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Connection', 'X-Hop, close', 'X-Hop', '1', 'Date', 'then']).end();
    else if (req.url === '/big-header') res.writeHead(200, { 'x-big': 'x'.repeat(40_000) }).end();
    else echo(req, res);
  });
});
afterAll(() => rig.close());

const at = (path: string) => `/toolbox/${ID}${path}`;

test('HEAD keeps the length and has no body', async () => {
  const reply = await rig.send(at('/sized'), { method: 'HEAD', headers: auth });
  expect(reply).toMatchObject({ status: 200, text: '' });
  expect(reply.headers['content-length']).toBe('5');
});

test('bodies of known and unknown length arrive whole, both ways', async () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'GET']) {
    const sized = await rig.send(at('/x'), { method, headers: auth, body: 'hello' });
    expect(echoed(sized), method).toMatchObject({ method, body: 'hello' });
    expect(echoed(sized).headers).toMatchObject({ 'content-length': '5' });
    const chunked = await rig.send(at('/x'), { method, headers: { ...auth, 'transfer-encoding': 'chunked' }, body: 'hello' }).catch((error: unknown) => error);
    if (chunked instanceof Error) throw chunked;
  }
  const chunked = await rig.raw(`POST ${at('/x')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: ${auth.authorization}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`);
  expect(chunked).toContain('"body":"hello"');
  expect(chunked).toContain('"transfer-encoding":"chunked"');
  const empty = await rig.send(at('/x'), { method: 'POST', headers: auth });
  expect(echoed(empty).body).toBe('');
});

test('trailers travel both ways', async () => {
  expect((await rig.send(at('/trailers'), { headers: auth })).trailers).toEqual({ 'x-sum': '42' });
  const text = await rig.raw(`POST ${at('/x')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: ${auth.authorization}\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n`);
  expect(text).toContain('"trailers":{"x-sum":"7"}');
});

test('early hints pass, replies without a body stay without', async () => {
  const text = await rig.raw(`GET ${at('/hints')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: ${auth.authorization}\r\n\r\n`);
  expect(text).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK/i);
  expect(await rig.send(at('/none'), { headers: auth })).toMatchObject({ status: 204, text: '' });
  expect((await rig.send(at('/not-modified'), { headers: auth })).headers.etag).toBe('"1"');
});

test('reply headers keep repetitions; those for one connection stay on it; one Date', async () => {
  const reply = await rig.send(at('/cookies'), { headers: auth });
  expect(reply.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  expect(reply.headers['x-hop']).toBeUndefined();
  expect(reply.headers.date).toBe('then');
  expect((await rig.send(at('/big-header'), { headers: auth })).headers['x-big']).toHaveLength(40_000);
});

test('an HTTP/1.0 client gets a plain body', async () => {
  const text = await rig.raw(`GET ${at('/trailers')} HTTP/1.0\r\nHost: localhost\r\nAuthorization: ${auth.authorization}\r\n\r\n`);
  expect(text).not.toMatch(/transfer-encoding/i);
  expect(text).toMatch(/\r\n\r\nbody$/);
});

test('a reply that is not valid HTTP, or switches protocols unasked, is 502', async () => {
  for (const path of ['/no-upgrade', '/invalid']) {
    const reply = await rig.send(at(path), { headers: auth });
    expect(reply.status, path).toBe(502);
    expect(reply.json).toMatchObject({ source: 'DAYTONA_PROXY' });
  }
});
