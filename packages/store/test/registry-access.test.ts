import { RegistryCredentials } from '@paddock/store';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { basic, imageManifest, KEY, MANIFEST, send, sha256, startRegistry, type Reply, type TestRegistry } from './registry-support.ts';

let now = Date.now();
let server: TestRegistry;
beforeAll(async () => { server = await startRegistry({ credentials: new RegistryCredentials(KEY, () => now) }); });
afterAll(() => server?.close());

const code = (reply: Reply) => reply.json?.errors?.[0]?.code as string | undefined;
const raw = (method: string, path: string, headers: Record<string, string> = {}, body?: string) => send(server.port, method, path, headers, body);
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function token(scopes: readonly string[], as = server.own): Promise<string> {
  const reply = await raw('GET', `/v2/token?service=paddock&${scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join('&')}`, { authorization: basic(as) });
  expect(reply.status).toBe(200);
  expect(reply.json).toMatchObject({ token: reply.json.access_token, expires_in: expect.any(Number), issued_at: expect.stringMatching(/^\d{4}-/) });
  expect(reply.headers['cache-control']).toBe('no-store');
  return reply.json.token as string;
}

describe('without a credential', () => {
  test('every route asks for one and says where to get a token', async () => {
    for (const [method, path, scope] of [
      ['GET', '/v2/', null], ['GET', '/v2', null], ['GET', '/v2/_catalog', 'registry:catalog:*'], ['GET', '/v2/org-a/x/tags/list', 'repository:org-a/x:pull'],
      ['HEAD', '/v2/org-a/x/manifests/v1', 'repository:org-a/x:pull'], ['PUT', '/v2/org-a/x/manifests/v1', 'repository:org-a/x:pull,push'],
      ['POST', '/v2/org-a/x/blobs/uploads/', 'repository:org-a/x:pull,push'], ['DELETE', `/v2/org-a/x/blobs/${sha256('')}`, 'repository:org-a/x:delete'],
      ['GET', '/v2/UPPER/tags/list', null], ['TRACE', '/v2/org-a/x/tags/list', null],
    ] as const) {
      const reply = await raw(method, path);
      expect(reply.status, `${method} ${path}`).toBe(401);
      expect(reply.headers['www-authenticate']).toBe(`Bearer realm="http://127.0.0.1:${server.port}/v2/token",service="paddock"${scope === null ? '' : `,scope="${scope}"`}`);
      if (method !== 'HEAD') expect(code(reply)).toBe('UNAUTHORIZED');
    }
  });

  test('an upload is refused before its body is asked for', async () => {
    const { createConnection } = await import('node:net');
    const socket = createConnection(server.port, '127.0.0.1');
    const text = await new Promise<string>((resolve) => {
      let seen = '';
      socket.on('data', (chunk) => { seen += chunk.toString(); if (seen.includes('UNAUTHORIZED')) resolve(seen); });
      socket.write(`POST /v2/org-a/x/blobs/uploads/?digest=${sha256('x')} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n`);
    });
    socket.destroy();
    expect(text).toMatch(/^HTTP\/1\.1 401/);
    expect(text).not.toContain('100 Continue');
  });
});

describe('with a wrong one', () => {
  test('it is 401, whatever is wrong', async () => {
    const other = new RegistryCredentials(Buffer.alloc(32, 8)).issue('org-a', [{ repositories: 'org-a/', actions: ['pull'] }], 60_000);
    const { username, secret } = server.own;
    const [body = '', signature = ''] = secret.split('.');
    const forged = Buffer.from(JSON.stringify({ ...(JSON.parse(Buffer.from(body, 'base64url').toString()) as object), grants: [{ repositories: 'org-b/', actions: ['pull'] }] })).toString('base64url');
    const pairs = [
      [username, ''], ['', secret], ['someone', secret], [username, `${secret}x`], [username, `${body}.`], [username, body], [username, `${forged}.${signature}`],
      [username, `${secret}.${signature}`], [other.username, other.secret], [username, 'x'.repeat(40_000)], [username, '.'], ['\0', '\0'],
    ] as const;
    for (const [name, password] of pairs) {
      const headers = { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
      const reply = await raw('GET', '/v2/', headers);
      expect([431, 401]).toContain(reply.status); // a header of 50 kB does not get that far
      const fetched = await raw('GET', '/v2/token?service=paddock', headers);
      expect([431, 401]).toContain(fetched.status);
    }
    for (const authorization of ['Basic', 'Basic !!!', 'Bearer', 'Bearer x.y', `Bearer ${secret}`, 'Digest x', '']) expect((await raw('GET', '/v2/', { authorization })).status, authorization).toBe(401);
  });

  test('a token is no password and a password no token', async () => {
    const fetched = await token(['repository:org-a/x:pull']);
    expect((await raw('GET', '/v2/', { authorization: `Basic ${Buffer.from(`${server.own.username}:${fetched}`).toString('base64')}` })).status).toBe(401);
    expect((await raw('GET', '/v2/', { authorization: `Basic ${Buffer.from(`:${fetched}`).toString('base64')}` })).status).toBe(401);
    expect((await raw('GET', '/v2/', bearer(server.own.secret))).status).toBe(401);
  });
});

describe('tokens', () => {
  test('open what their scopes name, as far as the credential goes', async () => {
    await server.pushImage('org-a/app', 'v1', ['layer']);
    const pull = await token(['repository:org-a/app:pull']);
    expect((await raw('GET', '/v2/', bearer(pull))).status).toBe(200);
    expect((await raw('GET', '/v2/org-a/app/tags/list', bearer(pull))).status).toBe(200);
    const push = await raw('POST', '/v2/org-a/app/blobs/uploads/', bearer(pull));
    expect([push.status, push.headers['www-authenticate']]).toEqual([401, expect.stringContaining('scope="repository:org-a/app:pull,push",error="insufficient_scope"')]);
    expect((await raw('GET', '/v2/org-a/other/tags/list', bearer(pull))).status).toBe(401);
    const both = await token(['repository:org-a/app:pull,push repository:org-a/two:pull', 'repository:org-a/three:*', 'repository:org-b/app:pull', 'nonsense', 'repository:UPPER:pull']);
    expect((await raw('POST', '/v2/org-a/app/blobs/uploads/', bearer(both))).status).toBe(202);
    expect((await raw('POST', '/v2/org-a/two/blobs/uploads/', bearer(both))).status).toBe(401);
    expect((await raw('POST', '/v2/org-a/three/blobs/uploads/', bearer(both))).status).toBe(202);
    expect((await raw('GET', '/v2/org-b/app/tags/list', bearer(both))).status).toBe(401);
  });

  test('also come by POST of an OAuth2 form, and by the refresh token it gives', async () => {
    const { username, secret } = server.own;
    const post = (form: Record<string, string>) => raw('POST', '/v2/token', { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(new URLSearchParams(form).toString().length) }, new URLSearchParams(form).toString());
    const reply = await post({ grant_type: 'password', username, password: secret, service: 'paddock', client_id: 'x', access_type: 'offline', scope: 'repository:org-a/app:pull' });
    expect(reply.status).toBe(200);
    expect((await raw('GET', '/v2/org-a/app/tags/list', bearer(reply.json.access_token as string))).status).toBe(200);
    const again = await post({ grant_type: 'refresh_token', refresh_token: reply.json.refresh_token as string, service: 'paddock', client_id: 'x', scope: 'repository:org-a/app:pull' });
    expect((await raw('GET', '/v2/org-a/app/tags/list', bearer(again.json.access_token as string))).status).toBe(200);
    expect((await post({ grant_type: 'password', username, password: 'x' })).status).toBe(401);
    expect((await post({ grant_type: 'refresh_token', refresh_token: 'x' })).status).toBe(401);
    expect((await post({ grant_type: 'magic' })).status).toBe(400);
    expect((await raw('POST', '/v2/token', { 'content-length': '100000' }, 'a'.repeat(100_000))).status).toBe(413);
    expect((await raw('PUT', '/v2/token', { authorization: basic(server.own) })).status).toBe(405);
  });

  test('end with the credential they were fetched with', async () => {
    const short = server.credentials.issue('x', [{ repositories: 'org-a/', actions: ['pull'] }], 60_000);
    const fetched = await token(['repository:org-a/app:pull'], short);
    const open = () => raw('GET', '/v2/org-a/app/tags/list', bearer(fetched));
    expect((await open()).status).toBe(200);
    now += 59_000;
    expect((await open()).status).toBe(200);
    now += 1_000;
    expect((await open()).status).toBe(401);
    expect((await raw('GET', '/v2/', { authorization: basic(short) })).status).toBe(401);
    expect((await raw('GET', '/v2/token', { authorization: basic(short) })).status).toBe(401);
    now -= 60_000;
  });
});

describe('organizations', () => {
  test('see and touch nothing of each other, not even by digest', async () => {
    const digest = await server.pushImage('org-a/private', 'v1', ['secret layer']);
    const stranger = server.credential('org-b/', 'pull', 'push', 'delete', 'catalog');
    const call = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) => server.call(method, path, { as: stranger, headers, ...(body === undefined ? {} : { body }) });
    const { headers: started } = await server.call('POST', '/v2/org-a/private/blobs/uploads/');
    const calls: ReadonlyArray<readonly [string, string]> = [
      ['GET', '/v2/org-a/private/manifests/v1'], ['HEAD', `/v2/org-a/private/manifests/${digest}`], ['PUT', '/v2/org-a/private/manifests/v1'], ['DELETE', '/v2/org-a/private/manifests/v1'],
      ['GET', `/v2/org-a/private/blobs/${sha256('secret layer')}`], ['DELETE', `/v2/org-a/private/blobs/${sha256('secret layer')}`], ['GET', '/v2/org-a/private/tags/list'],
      ['GET', `/v2/org-a/private/referrers/${digest}`], ['POST', '/v2/org-a/private/blobs/uploads/'], ['PATCH', String(started.location)], ['DELETE', String(started.location)],
      ['GET', '/v2/org-a/never-existed/tags/list'], ['GET', '/v2/org-b/../org-a/private/tags/list'],
    ];
    for (const [method, path] of calls) expect([400, 403], `${method} ${path}`).toContain((await call(method, path)).status);
    // By name, and by nothing but the digest.
    for (const query of [`mount=${sha256('secret layer')}&from=org-a/private`, `mount=${sha256('secret layer')}`]) expect((await call('POST', `/v2/org-b/mine/blobs/uploads/?${query}`)).status).toBe(202);
    expect((await call('GET', `/v2/org-b/mine/blobs/${sha256('secret layer')}`)).status).toBe(404);
    const config = await server.push('org-b/mine', '{}', stranger);
    const manifest = imageManifest(config, [{ digest: sha256('secret layer'), size: 12 }]);
    expect(code(await call('PUT', '/v2/org-b/mine/manifests/v1', manifest, { 'content-type': MANIFEST }))).toBe('MANIFEST_BLOB_UNKNOWN');
    // An upload goes on in its own repository only, whatever the path says.
    expect((await call('PATCH', String(started.location).replace('org-a/private', 'org-b/mine'), 'x')).status).toBe(404);
    expect((await call('GET', '/v2/_catalog')).json.repositories).toEqual(['org-b/mine']);
    expect((await server.call('GET', '/v2/org-a/private/manifests/v1')).status).toBe(200);
  });

  test('whose names begin alike are different', async () => {
    await server.pushImage('org-a/x', 'v1', []);
    expect((await server.call('GET', '/v2/org-a/x/tags/list', { as: server.credential('org-/', 'pull') })).status).toBe(403);
    expect((await server.call('GET', '/v2/org-a/x/tags/list', { as: server.credential('org-a', 'pull') })).status).toBe(403);
    expect((await server.call('GET', '/v2/org-a/x/tags/list', { as: server.credential('org-a/x', 'pull') })).status).toBe(200);
    expect((await server.call('GET', '/v2/org-a/x/tags/list', { as: server.credential('org-a/x/', 'pull') })).status).toBe(403);
  });

  test('a credential does what it names and no more', async () => {
    await server.pushImage('org-a/actions', 'v1', []);
    const pull = server.credential('org-a/', 'pull');
    const push = server.credential('org-a/', 'push');
    expect((await server.call('GET', '/v2/org-a/actions/tags/list', { as: push })).status).toBe(403);
    expect((await server.call('POST', '/v2/org-a/actions/blobs/uploads/', { as: pull })).status).toBe(403);
    expect((await server.call('DELETE', '/v2/org-a/actions/manifests/v1', { as: push })).status).toBe(403);
    expect((await server.call('GET', '/v2/_catalog', { as: pull })).json).toEqual({ repositories: [] });
  });
});

test('the catalog lists one\'s own repositories in pages', async () => {
  const credential = server.credential('cat/', 'pull', 'push', 'catalog');
  for (const name of ['one', 'three', 'two', 'two/below', 'two1']) await server.push(`cat/${name}`, 'x', credential);
  const list = async (query: string) => server.call('GET', `/v2/_catalog${query}`, { as: credential });
  expect((await list('')).json).toEqual({ repositories: ['cat/one', 'cat/three', 'cat/two', 'cat/two1', 'cat/two/below'] });
  const first = await list('?n=2');
  expect(first.json.repositories).toEqual(['cat/one', 'cat/three']);
  expect(first.headers.link).toBe('</v2/_catalog?n=2&last=cat%2Fthree>; rel="next"');
  expect((await list('?n=2&last=cat%2Fthree')).json.repositories).toEqual(['cat/two', 'cat/two1']);
  expect((await list('?n=2&last=cat%2Ftwo1')).json.repositories).toEqual(['cat/two/below']);
  const two = server.credentials.issue('x', [{ repositories: 'cat/', actions: ['catalog'] }, { repositories: 'cat/two/', actions: ['catalog'] }, { repositories: 'bat/', actions: ['catalog', 'push'] }], 60_000);
  await server.push('bat/x', 'x', two);
  const both = async (query: string) => (await server.call('GET', `/v2/_catalog${query}`, { as: two })).json.repositories;
  expect(await both('')).toEqual(['bat/x', 'cat/one', 'cat/three', 'cat/two', 'cat/two1', 'cat/two/below']);
  expect(await both('?n=2')).toEqual(['bat/x', 'cat/one']);
  expect(await both('?n=2&last=cat%2Fone')).toEqual(['cat/three', 'cat/two']);
  const scoped = await token(['registry:catalog:*'], credential);
  expect((await raw('GET', '/v2/_catalog?n=1', bearer(scoped))).json).toEqual({ repositories: ['cat/one'] });
  expect((await raw('GET', '/v2/_catalog', bearer(await token(['repository:cat/one:pull'], credential)))).json).toEqual({ repositories: [] });
});
