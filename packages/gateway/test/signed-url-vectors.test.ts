import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fileSignature } from '../src/signed-url.ts';
import { auth, echo, echoed, ID, OTHER, SIGNING_KEY, startRig, type Rig } from './helpers.ts';

const FUTURE = String(Math.floor(Date.now() / 1000) + 1000);

describe('signed file URLs', () => {
  let rig: Rig;
  beforeAll(async () => { rig = await startRig(echo); });
  afterAll(() => rig.close());

  test.each([
    ['GET', '/home/user/report.pdf', '1781234567', 'v1_QXoy36mypac2FAv33L7jnN44GEUx8KrdwT0vuKgKiQg'],
    ['GET', '/home/user/report.pdf', '0', 'v1_lpj67Q-1iHxBviass5MZhGs36X80uk3DgCaRjjmyPrk'],
    ['POST', '/tmp/incoming/data.bin', '1781234567', 'v1_CziiRdFkC9asB7q1mi0-fDvvwkpTxcI7yR8N35ht9Vw'],
    ['GET', '/path with spaces/f.txt', '1900000000', 'v1_GynMaKcifGfdmrBJHusa_ucAXowjZ_g4KP6lcMJ4WXE'],
  ])('vector %s %s %s', (method, path, expires, signature) => {
    expect(fileSignature(SIGNING_KEY, method, path, expires)).toBe(signature);
  });

  const url = (route: string, method: string, path: string, expires = FUTURE, extra = '', key = SIGNING_KEY): string =>
    `/toolbox/${ID}${route}?${new URLSearchParams({ path, expires, signature: fileSignature(key, method, path, expires) }).toString()}${extra}`;

  test('opens a download without any other credential; expires and signature stay here, the path arrives as signed', async () => {
    const reply = await rig.send(url('/files/download', 'GET', '/a b/ü+%&=.txt', FUTURE, '&x=%2f+1'));
    expect(reply.status).toBe(200);
    const seen = new URL(echoed(reply).url, 'http://x');
    expect(seen.pathname).toBe('/files/download');
    expect(seen.searchParams.get('path')).toBe('/a b/ü+%&=.txt');
    expect(echoed(reply).url).not.toMatch(/signature|expires/);
    expect(echoed(reply).url).toMatch(/&x=%2f\+1$/);
  });

  test('opens an upload; never expires with 0', async () => {
    const reply = await rig.send(url('/files/upload-v2', 'POST', '/tmp/x', '0'), { method: 'POST', body: 'hello' });
    expect(reply.status).toBe(200);
    expect(echoed(reply)).toMatchObject({ body: 'hello', url: '/files/upload-v2?path=%2Ftmp%2Fx' });
  });

  test('a wrong signature is 401, an expired one 403, in the error envelope', async () => {
    const wrong = await rig.send(url('/files/download', 'GET', '/x', FUTURE, '', 'another-key'));
    expect(wrong.status).toBe(401);
    expect(wrong.json).toMatchObject({ statusCode: 401, code: 'UNAUTHORIZED', source: 'DAYTONA_PROXY', path: `/toolbox/${ID}/files/download` });
    expect((await rig.send(url('/files/download', 'GET', '/x', '1000'))).status).toBe(403);
    expect((await rig.send(url('/files/download', 'POST', '/x'))).status).toBe(401);
  });

  test('an expired signature does not tell whether it was right without the key', async () => {
    expect((await rig.send(url('/files/download', 'GET', '/x', '1000', '', 'another-key'))).status).toBe(401);
  });

  test.each([
    ['doubled path', '&path=/etc/shadow'], ['doubled path, encoded name', '&%70ath=/etc/shadow'], ['doubled expires', '&expires=0'], ['doubled signature', '&signature=v1_x'],
  ])('what was signed is what is forwarded: %s', async (_name, extra) => {
    expect((await rig.send(url('/files/download', 'GET', '/x', FUTURE, extra))).status).toBe(401);
  });

  test('signs these two requests and nothing else', async () => {
    const head = await rig.send(url('/files/download', 'GET', '/x'), { method: 'HEAD' });
    expect(head.status).toBe(401);
    for (const [method, route] of [['GET', '/files/info'], ['POST', '/files/upload'], ['DELETE', '/files'], ['GET', '/files/download/'], ['GET', '//files/download/x'], ['PUT', '/files/upload-v2'], ['GET', '/proxy/3000/files/download']] as const) {
      expect((await rig.send(url(route, method, '/x'), { method })).status, route).toBe(401);
    }
  });

  test('an unknown sandbox, one without key and one of others answer alike', async () => {
    const unknown = url('/files/download', 'GET', '/x').replace(ID, '77777777-2222-4333-8444-555555555555');
    expect((await rig.send(unknown)).status).toBe(401);
    rig.backend.set(OTHER, { signingKey: null });
    expect((await rig.send(url('/files/download', 'GET', '/x').replace(ID, OTHER))).status).toBe(401);
    rig.backend.set(OTHER, { signingKey: 'key-b' });
    expect((await rig.send(url('/files/download', 'GET', '/x').replace(ID, OTHER))).status).toBe(401);
  });

  test('rotation voids earlier URLs at once; a plain authorised download needs no signature', async () => {
    const link = url('/files/download', 'GET', '/x');
    rig.backend.set(ID, { signingKey: 'rotated' });
    expect((await rig.send(link)).status).toBe(401);
    rig.backend.set(ID, { signingKey: SIGNING_KEY });
    expect((await rig.send(link)).status).toBe(200);
    expect((await rig.send(`/toolbox/${ID}/files/download?path=/x`, { headers: auth })).status).toBe(200);
  });

  test('of a stopped sandbox: 400, asking whether it is started', async () => {
    rig.backend.set(ID, { state: 'stopped' });
    const reply = await rig.send(url('/files/download', 'GET', '/x'));
    rig.backend.set(ID, { state: 'started' });
    expect(reply.status).toBe(400);
    expect(reply.json['message']).toMatch(/Is the Sandbox started\?$/);
  });
});
