import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { auth, echo, echoed, ID, KEY, OTHER, startRig, STRANGER, TOKEN, type Rig } from './helpers.ts';

const UNKNOWN = '77777777-2222-4333-8444-555555555555';

describe('who may pass', () => {
  let rig: Rig;
  beforeAll(async () => { rig = await startRig(echo); });
  beforeEach(() => rig.backend.set(ID, { public: false, state: 'started' }));
  afterAll(() => rig.close());

  describe('toolbox path', () => {
    test('a key of ours opens it and is not passed on', async () => {
      const reply = await rig.send(`/toolbox/${ID}/process/execute?a=%2F&b=+`, { method: 'POST', headers: { ...auth, 'X-Daytona-Source': 'sdk-typescript' }, body: '{"command":"true"}' });
      expect(reply.status).toBe(200);
      const seen = echoed(reply);
      expect(seen).toMatchObject({ method: 'POST', url: '/process/execute?a=%2F&b=+', body: '{"command":"true"}' });
      expect(seen.headers['authorization']).toBeUndefined();
      expect(seen.headers['x-daytona-source']).toBe('sdk-typescript');
    });

    test('without a credential: 401 JSON UNAUTHORIZED, also when the sandbox is public or does not exist', async () => {
      rig.backend.set(ID, { public: true });
      for (const path of [`/toolbox/${ID}/version`, `/toolbox/${ID}`, `/toolbox/${UNKNOWN}/version`, '/toolbox/some-name/version', '/toolbox/', `/toolbox/${ID}/proxy/3000/`]) {
        const reply = await rig.send(path);
        expect(reply.status, path).toBe(401);
        expect(reply.headers['content-type']).toMatch(/^application\/json/);
        expect(reply.json).toMatchObject({ statusCode: 401, error: 'Unauthorized', code: 'UNAUTHORIZED', source: 'DAYTONA_PROXY', method: 'GET', path });
        expect(typeof reply.json['message']).toBe('string');
      }
      expect((await rig.send(`/toolbox/${ID}/version`, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
    });

    test('another organization\'s sandbox and an unknown one answer the same 404', async () => {
      const bodies = [];
      for (const id of [OTHER, UNKNOWN, 'name']) {
        const reply = await rig.send(`/toolbox/${id}/version`, { headers: auth });
        expect(reply.status).toBe(404);
        const { timestamp: _t, path: _p, ...rest } = reply.json;
        bodies.push(JSON.stringify(rest).replaceAll(id, 'ID'));
      }
      expect(new Set(bodies).size).toBe(1);
    });

    test('the preview token opens it too: header or query, for clients that cannot send a Bearer', async () => {
      const byHeader = await rig.send(`/toolbox/${ID}/x`, { headers: { 'X-Daytona-Preview-Token': TOKEN } });
      expect(byHeader.status).toBe(200);
      expect(echoed(byHeader).headers['x-daytona-preview-token']).toBeUndefined();
      const byQuery = await rig.send(`/toolbox/${ID}/x?a=%20&DAYTONA_SANDBOX_AUTH_KEY=${TOKEN}&b=%7e`);
      expect(echoed(byQuery).url).toBe('/x?a=%20&b=%7e');
      expect(byQuery.headers['set-cookie']).toBeUndefined();
    });

    test('the route of the oldest SDKs', async () => {
      const reply = await rig.send(`/api/toolbox/${ID}/toolbox/files/?path=/`, { headers: auth });
      expect(echoed(reply).url).toBe('/files/?path=/');
    });
  });

  describe('preview', () => {
    test.each([
      ['Bearer', { headers: { authorization: `Bearer ${KEY}` } }, '/'],
      ['bearer in lower case', { headers: { authorization: `bearer ${KEY}` } }, '/'],
      ['token header', { headers: { 'x-daytona-preview-token': TOKEN } }, '/'],
      ['query', {}, `/?DAYTONA_SANDBOX_AUTH_KEY=${TOKEN}`],
    ])('opens with %s, and the app sees none of it', async (_name, options, path) => {
      const reply = await rig.send(path, { host: rig.host(3000), ...options });
      expect(reply.status).toBe(200);
      expect(echoed(reply).url).toBe('/proxy/3000/');
      expect(JSON.stringify(echoed(reply))).not.toMatch(new RegExp(`${KEY}|${TOKEN}`));
    });

    test('private without a credential: 401, a page for browsers', async () => {
      const plain = await rig.send('/', { host: rig.host(3000) });
      expect(plain.status).toBe(401);
      expect(plain.json).toMatchObject({ code: 'UNAUTHORIZED', source: 'DAYTONA_PROXY' });
      const page = await rig.send('/', { host: rig.host(3000), headers: { accept: 'text/html,*/*' } });
      expect(page.status).toBe(401);
      expect(page.headers['content-type']).toMatch(/^text\/html/);
      expect(page.text).toContain('DAYTONA_SANDBOX_AUTH_KEY');
    });

    test('an app\'s own Bearer reaches the app: next to the token header, and on a public sandbox', async () => {
      const own = { authorization: 'Bearer jwt-of-the-app' };
      const withToken = await rig.send('/', { host: rig.host(3000), headers: { ...own, 'x-daytona-preview-token': TOKEN } });
      expect(echoed(withToken).headers['authorization']).toBe('Bearer jwt-of-the-app');
      expect((await rig.send('/', { host: rig.host(3000), headers: own })).status).toBe(401);
      rig.backend.set(ID, { public: true });
      expect(echoed(await rig.send('/', { host: rig.host(3000), headers: own })).headers['authorization']).toBe('Bearer jwt-of-the-app');
      const basic = await rig.send('/', { host: rig.host(3000), headers: { authorization: 'Basic dTpw' } });
      expect(echoed(basic).headers['authorization']).toBe('Basic dTpw');
    });

    test('a stranger\'s key never reaches an app of somebody else, even a public one', async () => {
      expect((await rig.send('/', { host: rig.host(3000), headers: { authorization: `Bearer ${STRANGER}` } })).status).toBe(404);
      rig.backend.set(ID, { public: true });
      const reply = await rig.send('/', { host: rig.host(3000), headers: { authorization: `Bearer ${STRANGER}` } });
      expect(reply.status).toBe(200);
      expect(echoed(reply).headers['authorization']).toBeUndefined();
    });

    test.each(['', 'x', `${TOKEN}x`, TOKEN.slice(1), TOKEN.toUpperCase(), 'another-sandboxes-preview-token1'])('a wrong token is no token: %j', async (token) => {
      expect((await rig.send('/', { host: rig.host(3000), headers: { 'x-daytona-preview-token': token } })).status).toBe(401);
      expect((await rig.send(`/?DAYTONA_SANDBOX_AUTH_KEY=${token}`, { host: rig.host(3000) })).status).toBe(401);
    });

    test('an empty authToken opens nothing', async () => {
      rig.backend.set(ID, { authToken: '' });
      expect((await rig.send('/', { host: rig.host(3000), headers: { 'x-daytona-preview-token': '' } })).status).toBe(401);
      expect((await rig.send('/?DAYTONA_SANDBOX_AUTH_KEY=', { host: rig.host(3000) })).status).toBe(401);
      rig.backend.set(ID, { authToken: TOKEN });
    });
  });

  test('a backend that fails answers 503, nothing passes', async () => {
    const failing = rig.backend as { authenticate: unknown };
    const original = failing.authenticate;
    failing.authenticate = async () => { throw new Error('database is away: secret'); };
    const reply = await rig.send(`/toolbox/${ID}/version`, { headers: auth });
    failing.authenticate = original;
    expect(reply.status).toBe(503);
    expect(reply.text).not.toContain('secret');
  });
});
