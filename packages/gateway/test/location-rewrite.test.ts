import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, ID, startRig, type Rig } from './helpers.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig((req, res) => {
    const to = String(req.headers['x-to']);
    res.writeHead(Number(req.headers['x-status'] ?? 302), { Location: to }).end();
  });
});
afterAll(() => rig.close());

const viaPath = async (path: string, to: string, status = '302'): Promise<string | undefined> => (await rig.send(path, { headers: { ...auth, 'x-to': to, 'x-status': status } })).headers.location;
const viaHost = async (to: string): Promise<string | undefined> => (await rig.send('/', { host: rig.host(3000), headers: { ...auth, 'x-to': to } })).headers.location;

test('redirects of the toolbox get the prefix under which it was asked', async () => {
  expect(await viaPath(`/toolbox/${ID}/files/`, '/files?x=1')).toBe(`/toolbox/${ID}/files?x=1`);
  expect(await viaPath(`/api/toolbox/${ID}/toolbox/files/`, '/files')).toBe(`/api/toolbox/${ID}/toolbox/files`);
  for (const to of ['https://elsewhere.example/x', '//elsewhere.example/x', 'relative', '?q']) expect(await viaPath(`/toolbox/${ID}/x`, to)).toBe(to);
  expect(await viaPath(`/toolbox/${ID}/x`, '/created', '201')).toBe('/created');
});

test('redirects of an app below the toolbox path stay with the app', async () => {
  expect(await viaPath(`/toolbox/${ID}/proxy/3000/`, '/login')).toBe(`/toolbox/${ID}/proxy/3000/login`);
  expect(await viaPath(`/toolbox/${ID}/proxy/3000/`, '/proxy/3000/login')).toBe(`/toolbox/${ID}/proxy/3000/login`);
  expect(await viaPath(`/toolbox/${ID}/proxy/3000/`, 'http://localhost:3000/login')).toBe(`/toolbox/${ID}/proxy/3000/login`);
});

test('on preview hosts: root-relative as it is, the host name that apps are told becomes root-relative', async () => {
  expect(await viaHost('/login')).toBe('/login');
  expect(await viaHost('http://localhost:3000/login?a=b')).toBe('/login?a=b');
  expect(await viaHost('http://localhost:3000')).toBe('/');
  expect(await viaHost('http://localhost:3000?x')).toBe('/?x');
  for (const to of ['http://localhost:30001/x', 'http://localhost:3001/x', 'http://localhost:3000.evil/x', 'https://elsewhere.example/']) expect(await viaHost(to)).toBe(to);
});
