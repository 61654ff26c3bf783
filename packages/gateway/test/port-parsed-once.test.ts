import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auth, echo, echoed, ID, startRig, type Rig } from './helpers.ts';

describe('the port of a preview host is one integer', () => {
  let rig: Rig;
  beforeAll(async () => { rig = await startRig(echo); rig.backend.set(ID, { public: true }); });
  afterAll(() => rig.close());

  test.each(['02280', '+2280', '-2280', '2280abc', '0', '65536', '99999', '1e3', '0x8e8', '', '00', '4294969576'])('refuses %j', async (port) => {
    const reply = await rig.send('/files', { host: rig.host(port), headers: auth });
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.status).toBeLessThan(405);
    expect(reply.json['source'] ?? 'api').not.toBe('DAYTONA_DAEMON');
  });

  test.each([1, 80, 3000, 22222, 65535])('forwards exactly %i', async (port) => {
    const reply = await rig.send('/a%2Fb//c?x=1&x=%20+', { host: rig.host(port), headers: auth });
    expect(reply.status).toBe(200);
    expect(echoed(reply).url).toBe(`/proxy/${port}/a%2Fb//c?x=1&x=%20+`);
  });

  test.each(['3000', '022', '+3000', '3000x', '70000', '0'])('a port inside the toolbox path: %s', async (port) => {
    const reply = await rig.send(`/toolbox/${ID}/proxy/${port}/x`, { headers: auth });
    if (port === '3000') expect(echoed(reply).url).toBe('/proxy/3000/x');
    else expect(reply.status).toBe(400);
  });

  test('hosts are case-insensitive, the base domain must be the whole rest', async () => {
    const upper = await rig.send('/', { host: rig.host(3000, ID.toUpperCase()).toUpperCase() });
    expect(upper.status).toBe(200);
    for (const host of [`3000-${ID}.evil.com`, `3000-${ID}.localhost.evil.com`, `3000-${ID}.xlocalhost`, `3000-${ID}.a.localhost`, `3000-${ID}`]) {
      expect((await rig.send('/', { host })).status, host).toBe(299);
    }
    expect((await rig.send('/', { host: `3000-${ID}.localhost:1` })).status).toBe(200);
    expect((await rig.send('/', { host: '3000-not_a_name.localhost' })).status).toBe(404);
  });
});
