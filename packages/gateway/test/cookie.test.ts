import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { echo, echoed, ID, OTHER, startRig, TOKEN, type Rig } from './helpers.ts';

let rig: Rig;
beforeAll(async () => { rig = await startRig(echo); });
afterAll(() => rig.close());
afterEach(() => { vi.useRealTimers(); });

async function login(target = rig, appPort = 3000): Promise<{ line: string; cookie: string }> {
  const reply = await target.send(`/?DAYTONA_SANDBOX_AUTH_KEY=${TOKEN}`, { host: target.host(appPort) });
  const line = reply.headers['set-cookie']?.[0] ?? '';
  return { line, cookie: line.split(';')[0] ?? '' };
}
const get = async (cookie: string, host = rig.host(3000), headers: Record<string, string> = {}): Promise<number> =>
  (await rig.send('/', { host, headers: { cookie, ...headers } })).status;

test('the query key sets it: HttpOnly, SameSite, one hour, this host only', async () => {
  const { line, cookie } = await login();
  expect(line).toMatch(new RegExp(`^daytona-sandbox-auth-${ID}=\\d+\\.[\\w-]{43}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax$`));
  expect(await get(cookie)).toBe(200);
  expect(await get(`a=b; ${cookie}; c=d`)).toBe(200);
});

test('Secure when previews are https', async () => {
  const secure = await startRig(echo, { previewProtocol: 'https' });
  expect((await login(secure)).line).toMatch(/; Secure$/);
  await secure.close();
});

test('never reaches the app, other cookies do, byte for byte', async () => {
  const { cookie } = await login();
  const reply = await rig.send('/', { host: rig.host(3000), headers: { cookie: `a="x y"; ${cookie}; daytona-sandbox-auth-${OTHER}=1.x; c=%20` } });
  expect(echoed(reply).headers['cookie']).toBe('a="x y"; c=%20');
  expect(echoed(await rig.send('/', { host: rig.host(3000), headers: { cookie } })).headers['cookie']).toBeUndefined();
});

test('a changed, foreign or borrowed one opens nothing', async () => {
  const { cookie } = await login();
  const [name = '', value = ''] = cookie.split('=');
  const [expires = '', mac = ''] = value.split('.');
  for (const forged of [`${name}=${Number(expires) + 999}.${mac}`, `${name}=${expires}.${'A'.repeat(43)}`, `${name}=${expires}`, `${name}=`, `${name}=.`, `${name}=${value}x`]) {
    expect(await get(forged), forged).toBe(401);
  }
  expect(await get(cookie, rig.host(8000))).toBe(401);
  expect(await get(cookie.replace(ID, OTHER), rig.host(3000, OTHER))).toBe(401);
});

test('ends after its hour and when the preview token rotates', async () => {
  const { cookie } = await login();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3601_000 });
  expect(await get(cookie)).toBe(401);
  vi.useRealTimers();
  rig.backend.set(ID, { authToken: 'token-of-the-next-start-00000001' });
  expect(await get(cookie)).toBe(401);
  rig.backend.set(ID, { authToken: TOKEN });
  expect(await get(cookie)).toBe(200);
});

test('a page of another sandbox cannot use a visitor\'s cookie, another port of the same sandbox can', async () => {
  const { cookie } = await login();
  expect(await get(cookie, rig.host(3000), { origin: `http://${rig.host(3000, OTHER)}` })).toBe(401);
  expect(await get(cookie, rig.host(3000), { origin: 'https://evil.example' })).toBe(401);
  expect(await get(cookie, rig.host(3000), { origin: 'null' })).toBe(401);
  expect(await get(cookie, rig.host(3000), { origin: `http://${rig.host(8000)}` })).toBe(200);
});

test('on the API\'s own host a cookie opens nothing', async () => {
  const { cookie } = await login();
  expect((await rig.send(`/toolbox/${ID}/version`, { headers: { cookie } })).status).toBe(401);
});
