import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, echo, echoed, startRig, type Rig } from './helpers.ts';

const FORGED = {
  'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Port': '1', 'X-Forwarded-Anything': 'x', X_Forwarded_Host: 'evil.example',
  Forwarded: 'for=6.6.6.6', 'X-Real-IP': '6.6.6.6', 'X-Daytona-Authorization': 'Bearer x',
};
let rig: Rig;
let behindProxy: Rig;
beforeAll(async () => {
  rig = await startRig(echo);
  behindProxy = await startRig(echo, { trustedProxies: ['127.0.0.0/8'] });
});
afterAll(async () => { await rig.close(); await behindProxy.close(); });

test('X-Forwarded-* are replaced, not appended', async () => {
  const reply = await rig.send('/', { host: rig.host(3000), headers: { ...auth, ...FORGED } });
  const { headers, rawHeaders } = echoed(reply);
  expect(headers).toMatchObject({ 'x-forwarded-host': rig.host(3000), 'x-forwarded-proto': 'http', 'x-forwarded-for': '127.0.0.1' });
  expect(JSON.stringify(rawHeaders)).not.toMatch(/6\.6\.6\.6|evil|X-Forwarded-Port|Anything|Daytona-Authorization/);
});

test('a trusted proxy\'s word is kept and continued', async () => {
  const reply = await behindProxy.send('/', { host: behindProxy.host(3000), headers: { ...auth, 'X-Forwarded-For': '203.0.113.9', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'evil.example' } });
  expect(echoed(reply).headers).toMatchObject({ 'x-forwarded-for': '203.0.113.9, 127.0.0.1', 'x-forwarded-proto': 'https', 'x-forwarded-host': behindProxy.host(3000) });
});

test('headers for one connection stay on it, also those it names; the rest keeps case, order and repetitions', async () => {
  const reply = await rig.raw([
    'POST / HTTP/1.1', `Host: ${rig.host(3000)}`, 'Authorization: Bearer dtn_ours', 'Connection: close, X-Private', 'X-Private: 1', 'Keep-Alive: timeout=1', 'Proxy-Authorization: Basic x', 'TE: trailers, deflate',
    'X-Twice: 1', 'x-tWICE: 2', 'Content-Length: 2', '', 'hi',
  ].join('\r\n'));
  const seen = JSON.parse(reply.slice(reply.indexOf('{'), reply.lastIndexOf('}') + 1)) as { headers: Record<string, string>; rawHeaders: string[]; body: string };
  expect(seen.body).toBe('hi');
  expect(seen.headers).toMatchObject({ host: 'localhost', connection: 'keep-alive', te: 'trailers', 'x-twice': '1, 2', 'content-length': '2' });
  expect(seen.headers['x-private'] ?? seen.headers['keep-alive'] ?? seen.headers['proxy-authorization']).toBeUndefined();
  expect(seen.rawHeaders.join(' ')).toContain('X-Twice 1 x-tWICE 2');
});
