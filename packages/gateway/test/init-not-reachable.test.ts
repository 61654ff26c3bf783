import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auth, echo, ID, startRig, type Rig } from './helpers.ts';

const INIT = [
  '/init', '//init', '/./init', '/init/', '/init//', '/INIT', '/Init', '/x/../init', '/../init', '/../../init', '/%69nit', '/ini%74', '/%2finit', '/%2Finit', '/.%2finit', '/%2e/init', '/a/%2e%2e/init',
  '/a/%2E%2e/init', '/a%2f..%2finit', '/init;x', '/init;x=1', '/init%3bx', '/init%20', '/proxy/2280/init', '/proxy//2280//init', '//proxy/2280/init', '/proxy/2280/proxy/2280/init',
  '/proxy/2280//init', '/proxy/2280/./init', '/proxy/3000/../2280/init', '/proxy/3000/../../init', '/%70roxy/2280/init', '/proxy%2f2280%2finit', '/proxy%2F2280/init', '/proxy/3000/%2e%2e/%2e%2e/init', '/PROXY/2280/init',
];
/** The SSH gateway alone may ask a toolbox for SSH: same rule, same spellings. */
const SPELLINGS = [...INIT, ...INIT.map((path) => path.replace('init', 'ssh').replace('INIT', 'SSH').replace('Init', 'Ssh').replace('%69nit', '%73sh').replace('ini%74', 'ss%68'))];

describe('POST /init is the runner\'s alone, GET /ssh the SSH gateway\'s', () => {
  let rig: Rig;
  const seen: string[] = [];
  beforeAll(async () => { rig = await startRig((req, res) => { seen.push(req.url ?? ''); echo(req, res); }); });
  afterAll(() => rig.close());

  test.each(SPELLINGS)('below the toolbox path: %s', async (path) => {
    seen.length = 0;
    const reply = await rig.send(`/toolbox/${ID}${path}`, { method: 'POST', headers: auth, body: '{}' });
    expect([400, 404]).toContain(reply.status);
    expect(seen).toEqual([]);
  });

  test.each(SPELLINGS)('on the preview host of the toolbox: %s', async (path) => {
    seen.length = 0;
    const reply = await rig.send(path, { method: 'POST', host: rig.host(2280), headers: auth, body: '{}' });
    expect([400, 404]).toContain(reply.status);
    expect(seen).toEqual([]);
  });

  test('through the oldest SDKs\' route', async () => {
    expect((await rig.send(`/api/toolbox/${ID}/toolbox//init`, { method: 'POST', headers: auth })).status).toBe(404);
  });

  test.each(['/../init', '/../../init', '/../2280/init', '/%2e%2e/2280/init', '/%2E./%2e%2e/init', '/..\\..\\init', '/..%5C..%5Cinit', '/a/../../../init'])('an app\'s path never leaves the app: %s', async (path) => {
    seen.length = 0;
    await rig.send(path, { method: 'POST', host: rig.host(3000), headers: auth });
    expect(seen).toHaveLength(1);
    expect(new URL(seen[0] ?? '', 'http://x').pathname).toMatch(/^\/proxy\/3000\//);
  });

  test('an app may have its own /init, and files may be called init', async () => {
    expect((await rig.send('/init', { host: rig.host(3000), headers: auth })).status).toBe(200);
    expect((await rig.send(`/toolbox/${ID}/process/session/init`, { headers: auth })).status).toBe(200);
    expect((await rig.send(`/toolbox/${ID}/files?path=/init`, { headers: auth })).status).toBe(200);
  });

  test('websocket upgrades take the same way', async () => {
    seen.length = 0;
    const text = await rig.raw(`GET /toolbox/${ID}//init HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer dtn_ours\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 404 /);
    expect(seen).toEqual([]);
  });
});
