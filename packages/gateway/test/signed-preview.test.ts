import { afterAll, beforeAll, expect, test } from 'vitest';
import { echo, echoed, ID, startRig, type Rig } from './helpers.ts';

const LABEL = 'abcdefgh01234567';
let rig: Rig;
beforeAll(async () => { rig = await startRig(echo); rig.backend.signed.set(`3000:${LABEL}`, { sandboxId: ID, expired: false }); });
afterAll(() => rig.close());

const cookieOf = (headers: Record<string, unknown>): string => String((headers['set-cookie'] as string[])[0]).split(';')[0] as string;

test('the token in the host name opens its port and no other', async () => {
  const reply = await rig.send('/x', { host: rig.host(3000, LABEL) });
  expect(reply.status).toBe(200);
  expect(echoed(reply).url).toBe('/proxy/3000/x');
  for (const port of [3001, 2280]) expect((await rig.send('/x', { host: rig.host(port, LABEL) })).status).toBe(403);
  expect((await rig.send('/x', { host: rig.host(3000, 'zzzzzzzz01234567') })).json['message']).toMatch(/Invalid or expired token/);
});

test('a token for port 2280 opens the toolbox, without /init', async () => {
  rig.backend.signed.set(`2280:${LABEL}`, { sandboxId: ID, expired: false });
  expect(echoed(await rig.send('/version', { host: rig.host(2280, LABEL) })).url).toBe('/version');
  expect((await rig.send('/init', { host: rig.host(2280, LABEL) })).status).toBe(404);
});

test('after its time only a browser that used it goes on, and only until it is revoked', async () => {
  const cookie = cookieOf((await rig.send('/', { host: rig.host(3000, LABEL) })).headers);
  rig.backend.signed.set(`3000:${LABEL}`, { sandboxId: ID, expired: true });
  expect((await rig.send('/', { host: rig.host(3000, LABEL) })).status).toBe(403);
  expect((await rig.send('/', { host: rig.host(3000, LABEL), headers: { cookie } })).status).toBe(200);
  rig.backend.signed.delete(`3000:${LABEL}`);
  expect((await rig.send('/', { host: rig.host(3000, LABEL), headers: { cookie } })).status).toBe(403);
});
