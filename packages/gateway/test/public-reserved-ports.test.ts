import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, echo, echoed, ID, startRig, TOKEN, type Rig } from './helpers.ts';

let rig: Rig;
beforeAll(async () => { rig = await startRig(echo); rig.backend.set(ID, { public: true }); });
afterAll(() => rig.close());

test('a public sandbox serves any app to anybody', async () => {
  expect((await rig.send('/', { host: rig.host(3000) })).status).toBe(200);
});

test.each([2280, 22222, 33333])('port %i needs a credential even then', async (port) => {
  for (const host of [rig.host(port), rig.host(`0${port}`), rig.host(`+${port}`), rig.host(`${port}`).toUpperCase()]) {
    const reply = await rig.send('/version', { host });
    expect([400, 401]).toContain(reply.status);
  }
  expect((await rig.send('/version', { host: rig.host(port), headers: { 'x-daytona-preview-token': TOKEN } })).status).toBe(200);
  expect((await rig.send('/version', { host: rig.host(port), headers: auth })).status).toBe(200);
});

test('port 2280 is the toolbox itself, the other two are reached as apps', async () => {
  expect(echoed(await rig.send('/files/?path=%2F', { host: rig.host(2280), headers: auth })).url).toBe('/files/?path=%2F');
  expect(echoed(await rig.send('/ws', { host: rig.host(22222), headers: auth })).url).toBe('/proxy/22222/ws');
});

test('turning public off counts for the next request', async () => {
  rig.backend.set(ID, { public: false });
  expect((await rig.send('/', { host: rig.host(3000) })).status).toBe(401);
});
