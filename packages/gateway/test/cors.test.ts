import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, echo, echoed, ID, startRig, type Reply, type Rig } from './helpers.ts';

const ORIGIN = 'https://page.example';
let rig: Rig;
beforeAll(async () => {
  rig = await startRig((req, res) => {
    if (req.url === '/proxy/3000/own') res.writeHead(200, { 'Access-Control-Allow-Origin': 'https://only.example', 'Access-Control-Allow-Credentials': 'true', Vary: 'Origin' }).end();
    else if (req.url === '/proxy/3000/vary') res.writeHead(200, { Vary: 'Accept', 'Access-Control-Allow-Credentials': 'false' }).end();
    else echo(req, res);
  });
});
afterAll(() => rig.close());

const count = (reply: Reply, name: string): number => reply.rawHeaders.filter((value, i) => i % 2 === 0 && value.toLowerCase() === name).length;

test('preflights are answered 204 without a credential and never reach the app', async () => {
  for (const options of [{ host: rig.host(3000) }, {}]) {
    const reply = await rig.send(`/toolbox/${ID}/files`, {
      ...options, method: 'OPTIONS',
      headers: { origin: ORIGIN, 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'authorization,x-daytona-sdk-version' },
    });
    expect(reply.status).toBe(204);
    expect(reply.headers).toMatchObject({
      'access-control-allow-origin': ORIGIN, 'access-control-allow-credentials': 'true', 'access-control-allow-headers': 'authorization,x-daytona-sdk-version',
      'access-control-max-age': '43200', vary: 'Origin',
    });
    expect(reply.headers['access-control-allow-methods']).toBe('GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS');
  }
});

test('an OPTIONS that is no preflight goes the ordinary way', async () => {
  expect((await rig.send('/', { method: 'OPTIONS', host: rig.host(3000) })).status).toBe(401);
  expect(echoed(await rig.send('/', { method: 'OPTIONS', host: rig.host(3000), headers: auth })).method).toBe('OPTIONS');
});

test('reflects the origin on replies and on refusals', async () => {
  const reply = await rig.send('/', { host: rig.host(3000), headers: { ...auth, origin: ORIGIN } });
  expect(reply.headers).toMatchObject({ 'access-control-allow-origin': ORIGIN, 'access-control-allow-credentials': 'true' });
  const refused = await rig.send(`/toolbox/${ID}/x`, { headers: { origin: ORIGIN } });
  expect(refused.status).toBe(401);
  expect(refused.headers['access-control-allow-origin']).toBe(ORIGIN);
  expect((await rig.send('/', { host: rig.host(3000), headers: auth })).headers['access-control-allow-origin']).toBeUndefined();
});

test('an app that speaks CORS has the word; there are never two values', async () => {
  const own = await rig.send('/own', { host: rig.host(3000), headers: { ...auth, origin: ORIGIN } });
  expect(own.headers['access-control-allow-origin']).toBe('https://only.example');
  const vary = await rig.send('/vary', { host: rig.host(3000), headers: { ...auth, origin: ORIGIN } });
  expect(vary.headers['access-control-allow-credentials']).toBe('true');
  expect(vary.headers.vary).toBe('Accept, Origin');
  for (const reply of [own, vary]) for (const name of ['access-control-allow-origin', 'access-control-allow-credentials']) expect(count(reply, name)).toBe(1);
});

test('X-Daytona-Disable-CORS keeps us out of it', async () => {
  const off = { origin: ORIGIN, 'x-daytona-disable-cors': 'true' };
  expect((await rig.send('/', { host: rig.host(3000), headers: { ...auth, ...off } })).headers['access-control-allow-origin']).toBeUndefined();
  const preflight = await rig.send('/', { method: 'OPTIONS', host: rig.host(3000), headers: { ...auth, ...off, 'access-control-request-method': 'GET' } });
  expect(echoed(preflight).method).toBe('OPTIONS');
});
