import { connect } from 'node:net';
import { ErrorReply } from '@paddock/contract';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DOMAINS, type Domain } from '@paddock/control';
import { startTestControl, startTestDatabase, type Reply, type TestControl, type TestDatabase } from './support.ts';

/** Routes that hand back what they were given, so that the edge can be seen at work. */
const echo: Domain = (api) => {
  api.post('/echo', {
    schema: { body: Type.Object({ name: Type.String({ minLength: 1 }), count: Type.Optional(Type.Integer({ minimum: 0, maximum: 9 })), tags: Type.Optional(Type.Array(Type.String())), inner: Type.Optional(Type.Object({ a: Type.Optional(Type.String()) })) }) },
  }, async (request) => ({ body: request.body }));
  api.post('/bodyless', {}, async (request) => ({ body: request.body ?? null }));
  api.post('/strict-nulls', { config: { keepNulls: true } }, async (request) => ({ body: request.body }));
  api.get('/query', {
    schema: { querystring: Type.Object({ states: Type.Optional(Type.Array(Type.String())), limit: Type.Integer({ default: 100, minimum: 1, maximum: 200 }), force: Type.Optional(Type.Boolean()), name: Type.Optional(Type.String()) }) },
  }, async (request) => request.query);
  api.get('/defect', {}, async () => {
    throw new TypeError('secret detail');
  });
};

let database: TestDatabase;
let control: TestControl;
beforeAll(async () => {
  database = await startTestDatabase();
  control = await startTestControl(await database.create(), { domains: [echo, ...DOMAINS] });
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

function expectError(reply: Reply, status: number, message: string | RegExp): void {
  expect(reply.status, reply.text).toBe(status);
  expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(Check(ErrorReply, reply.body)).toBe(true);
  expect(reply.body).toMatchObject({ statusCode: status, source: 'DAYTONA_API' });
  if (typeof message === 'string') expect(reply.body.message).toBe(message);
  else expect(reply.body.message).toMatch(message);
}

describe('the error envelope', () => {
  test('holds the URL with its query, the reason phrase and one message', async () => {
    const reply = await control.call('GET', '/api/nothing?a=1');
    expectError(reply, 404, 'Cannot GET /api/nothing');
    expect(reply.body).toMatchObject({ path: '/api/nothing?a=1', error: 'Not Found', method: 'GET' });
    expect(Date.parse(reply.body.timestamp)).toBeGreaterThan(Date.now() - 60_000);
  });

  test('an unknown method of a known path is an unknown route', async () => {
    expectError(await control.call('PATCH', '/api/users/me'), 404, 'Cannot PATCH /api/users/me');
  });

  test('unknown paths outside the API are JSON too', async () => {
    expectError(await control.call('GET', '/favicon.ico'), 404, 'Cannot GET /favicon.ico');
  });

  test('a defect of the server tells nothing', async () => {
    expectError(await control.call('GET', '/api/defect'), 500, 'An unexpected error occurred.');
  });
});

describe('bodies', () => {
  test('malformed JSON is named as such', async () => {
    expectError(await control.call('POST', '/api/echo', { raw: '{"name":', headers: { 'content-type': 'application/json' } }), 400, 'Invalid JSON in request body');
  });

  test('all problems come in one message', async () => {
    expectError(await control.call('POST', '/api/echo', { json: { count: 10, tags: 'x' } }), 400,
      'name should not be empty, count must not be greater than 9, tags must be an array');
    expectError(await control.call('POST', '/api/echo', { json: { name: '', count: 1.5 } }), 400, 'name should not be empty, count must be an integer number');
    expectError(await control.call('POST', '/api/echo', { json: { name: 'x', count: '3' } }), 400, 'count must be an integer number');
  });

  test('a body that is no object, or none at all, is a validation error', async () => {
    expectError(await control.call('POST', '/api/echo', { json: [1] }), 400, 'body must be an object');
    expectError(await control.call('POST', '/api/echo', { json: 'text' }), 400, 'body must be an object');
    expectError(await control.call('POST', '/api/echo'), 400, 'name should not be empty');
  });

  test('null counts as absent, at every depth', async () => {
    const reply = await control.call('POST', '/api/echo', { json: { name: 'x', count: null, tags: null, inner: { a: null } } });
    expect(reply.body).toEqual({ body: { name: 'x', inner: {} } });
  });

  test('a route can ask to see nulls', async () => {
    expect((await control.call('POST', '/api/strict-nulls', { json: { a: null } })).body).toEqual({ body: { a: null } });
  });

  test('unknown properties pass', async () => {
    expect((await control.call('POST', '/api/echo', { json: { name: 'x', future: { y: 1 } } })).status).toBe(200);
  });

  test('JSON is understood without a content type and as a form', async () => {
    expect((await control.call('POST', '/api/echo', { raw: '{"name":"x"}' })).body).toEqual({ body: { name: 'x' } });
    expect((await control.call('POST', '/api/echo', { raw: '{"name":"x"}', headers: { 'content-type': 'application/x-www-form-urlencoded' } })).body).toEqual({ body: { name: 'x' } });
    expect((await control.call('POST', '/api/echo', { raw: '\ufeff{"name":"x"}', headers: { 'content-type': 'application/json; charset=utf-8' } })).body).toEqual({ body: { name: 'x' } });
  });

  test('an empty body may carry any content type', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'application/json', 'text/plain', 'multipart/form-data; boundary=x', 'nonsense']) {
      const reply = await control.call('POST', '/api/bodyless', { raw: '', headers: { 'content-type': type, 'content-length': '0' } });
      expect(reply.body, type).toEqual({ body: null });
    }
    expect((await control.call('POST', '/api/bodyless')).status).toBe(200);
  });

  test('a body over the limit is 413', async () => {
    expectError(await control.call('POST', '/api/echo', { json: { name: 'x'.repeat(4 * 1024 * 1024) } }), 413, /must not be larger than 4194304 bytes/);
  });

  test('what no database column holds is refused', async () => {
    expectError(await control.call('POST', '/api/echo', { json: { name: 'a\0b' } }), 400, /NUL/);
    expectError(await control.call('POST', '/api/echo', { raw: '{"name":"\\ud800"}', headers: { 'content-type': 'application/json' } }), 400, /Unicode/);
    expectError(await control.call('POST', '/api/echo', { raw: `{"name":"x","d":${'['.repeat(200)}${']'.repeat(200)}}`, headers: { 'content-type': 'application/json' } }), 400, /nested/);
    expectError(await control.call('POST', '/api/echo', { raw: '['.repeat(100_000), headers: { 'content-type': 'application/json' } }), 400, 'Invalid JSON in request body');
  });

  test('prototype keys do nothing', async () => {
    const reply = await control.call('POST', '/api/echo', { raw: '{"name":"x","__proto__":{"count":3},"constructor":{"prototype":{"p":1}}}', headers: { 'content-type': 'application/json' } });
    expect(reply.status).toBe(200);
    expect(reply.text).not.toContain('count');
    expect(({} as Record<string, unknown>).p).toBeUndefined();
  });
});

describe('queries', () => {
  const query = async (text: string) => (await control.call('GET', `/api/query?${text}`)).body;

  test('arrays come as repeated keys, with brackets, or as one value', async () => {
    expect(await query('states=a&states=b')).toEqual({ states: ['a', 'b'], limit: 100 });
    expect(await query('states[]=a&states[]=b')).toEqual({ states: ['a', 'b'], limit: 100 });
    expect(await query('states%5B%5D=a')).toEqual({ states: ['a'], limit: 100 });
    expect(await query('states[0]=a&states[1]=b')).toEqual({ states: ['a', 'b'], limit: 100 });
    expect(await query('states=a')).toEqual({ states: ['a'], limit: 100 });
  });

  test('numbers and booleans are converted strictly, empty ones count as absent', async () => {
    expect(await query('limit=5&force=true&name=')).toEqual({ limit: 5, force: true, name: '' });
    expect(await query('limit=&force=')).toEqual({ limit: 100 });
    for (const text of ['limit=abc', 'limit=NaN', 'limit=1e3', 'limit=0x10', 'limit=1.5', 'limit=0', 'limit=201', 'limit=-1', 'limit=99999999999999999999', 'force=yes']) {
      expectError(await control.call('GET', `/api/query?${text}`), 400, /^(limit|force) must /);
    }
  });

  test('NUL and broken percent signs never reach a handler unseen', async () => {
    expectError(await control.call('GET', '/api/query?name=%00'), 400, /NUL/);
    expect((await control.call('GET', '/api/query?name=%zz')).status).toBe(200);
    expectError(await control.call('GET', '/api/snapshots/a%00b'), 400, /NUL/);
    expectError(await control.call('GET', '/api/snapshots/%zz'), 400, /URL is not valid/);
    expectError(await control.call('GET', '/api/snapshots/%ff'), 400, /URL is not valid/);
    expectError(await control.call('GET', `/api/snapshots/${'x'.repeat(5000)}`), 400, /too long/);
  });
});

describe('cross-origin requests', () => {
  test('any origin is reflected, without credentials', async () => {
    const reply = await control.call('GET', '/api/config', { key: null, headers: { origin: 'http://elsewhere.test' } });
    expect(reply.headers['access-control-allow-origin']).toBe('http://elsewhere.test');
    expect(reply.headers).not.toHaveProperty('access-control-allow-credentials');
    expect(reply.headers.vary).toBe('Origin');
  });

  test('a preflight is answered for every path without a credential', async () => {
    const reply = await control.call('OPTIONS', '/api/sandbox', { key: null, headers: { origin: 'http://elsewhere.test', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,x-daytona-source' } });
    expect(reply.status).toBe(204);
    expect(reply.headers['access-control-allow-methods']).toContain('POST');
    expect(reply.headers['access-control-allow-headers']).toBe('authorization,x-daytona-source');
  });

  test('errors carry the headers too', async () => {
    expect((await control.call('GET', '/api/users/me', { key: null, headers: { origin: 'http://elsewhere.test' } })).headers['access-control-allow-origin']).toBe('http://elsewhere.test');
  });
});

test('HEAD answers as GET does, without a body', async () => {
  const reply = await control.call('HEAD', '/api/config', { key: null });
  expect(reply.status).toBe(200);
  expect(reply.text).toBe('');
});

test('a trailing slash does not matter', async () => {
  expect((await control.call('GET', '/api/users/me/')).status).toBe(200);
});

test('the root says where the API is', async () => {
  const reply = await control.call('GET', '/', { key: null });
  expect(reply.status).toBe(200);
  expect(reply.text).toContain('http://localhost:3000/api');
});

test('a client that ends in the middle of its body leaves the server as it was', async () => {
  await new Promise<void>((resolve) => {
    const socket = connect(control.port, '127.0.0.1', () => {
      socket.write('POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"na', () => socket.destroy());
    });
    socket.on('close', () => resolve());
  });
  expect((await control.call('GET', '/api/users/me')).status).toBe(200);
});
