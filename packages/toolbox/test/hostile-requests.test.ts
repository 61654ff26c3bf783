import fc from 'fast-check';
import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

/** Values a careless or hostile client may send anywhere. */
const value: fc.Arbitrary<unknown> = fc.oneof(
  { depthSize: 'small' },
  fc.constantFrom('', '.', '..', '/', '/proc/self/mem', '/dev/null', 'd', 'f', 'f/x', 'loop', 'pipe', '\0', 'a\0b', 'x'.repeat(300), '../'.repeat(50), '\ud800', '%00', '[', '0777', '-1', 'true', 'python', 'javascript'),
  fc.string({ unit: 'binary', maxLength: 20 }), fc.integer(), fc.double(), fc.boolean(), fc.constant(null),
  fc.array(fc.string(), { maxLength: 3 }), fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), { maxKeys: 3 }),
);

/** Routes with the fields and parameters they read. Commands run `true` at most, so that random text does no harm. */
const JSON_ROUTES: readonly (readonly [string, readonly string[], object])[] = [
  ['/init', ['token', 'env', 'entrypoint'], { entrypoint: [] }], ['/env', ['set', 'unset', 'unsetValuePrefix'], {}],
  ['/process/execute', ['cwd', 'timeout', 'envs'], { command: 'true' }], ['/process/code-run', ['language', 'argv', 'envs', 'timeout'], { code: '0' }],
  ['/files/replace', ['files', 'pattern', 'newValue'], { files: ['f', 'd', 'pipe'] }], ['/files/bulk-download', ['paths'], {}],
];
const QUERY_ROUTES: readonly (readonly [string, string, readonly string[]])[] = [
  ['GET', '/files', ['path', 'depth']], ['GET', '/files/info', ['path']], ['GET', '/files/download', ['path']], ['POST', '/files/folder', ['path', 'mode']],
  ['GET', '/files/find', ['pattern']], ['GET', '/files/search', ['pattern']], ['POST', '/files/move', ['source', 'destination']],
  ['POST', '/files/upload', ['path']], ['POST', '/files/upload-v2', ['path']], ['POST', '/files/permissions', ['path', 'mode', 'owner']],
];

const RUNS = Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 400);
const TEST_TIMEOUT_MS = 60_000 + RUNS * 200;

test('no JSON body is answered with a 5xx', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('mkdir d; echo text > f; ln -s loop loop; mkfifo pipe');
  const request = fc.constantFrom(...JSON_ROUTES).chain(([path, fields, fixed]) =>
    fc.record(Object.fromEntries(fields.map((field) => [field, value])), { requiredKeys: [] }).map((body) => ({ path, body: { ...body, ...fixed } })));
  await fc.assert(fc.asyncProperty(request, async ({ path, body }) => {
    const reply = await toolbox.post(path, { ...body, ...(typeof body['timeout'] === 'number' ? { timeout: Math.max(1, body['timeout'] as number) } : {}) });
    expect([path, reply.status]).toEqual([path, expect.toSatisfy((status: number) => status < 500)]);
    if (reply.status >= 400) expect(reply.json).toMatchObject({ statusCode: reply.status, source: 'DAYTONA_DAEMON' });
  }), { numRuns: RUNS });
  expect((await toolbox.get('/version')).status).toBe(200);
  expect(toolbox.child.exitCode).toBeNull();
}, TEST_TIMEOUT_MS);

test('no query and no raw path is answered with a 5xx', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('mkdir d; echo text > f; ln -s loop loop; mkfifo pipe');
  const text = value.map((item) => (typeof item === 'string' ? item : JSON.stringify(item) ?? '')).map((item) => encodeURIComponent(item.toWellFormed()));
  const request = fc.constantFrom(...QUERY_ROUTES).chain(([method, path, names]) =>
    fc.record(Object.fromEntries(names.map((name) => [name, text]))).map((query) => ({ method, path: `${path}?path=d&${Object.entries(query).map((pair) => pair.join('=')).join('&')}` })));
  const odd = fc.record({ method: fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'OPTIONS'), path: fc.string({ unit: fc.constantFrom('/', '.', '%', 'a', '2', '?', '=', '&', '+', 'port', 'proxy', 'files'), maxLength: 12 }).map((path) => `/${path}`) });
  await fc.assert(fc.asyncProperty(fc.oneof(request, odd), async ({ method, path }) => {
    const reply = await toolbox.send(method, path, { body: method === 'POST' ? 'x' : undefined });
    expect([method, path, reply.status]).toEqual([method, path, expect.toSatisfy((status: number) => status < 500 || (status === 502 && path.startsWith('/proxy/')))]);
  }), { numRuns: RUNS });
  expect((await toolbox.get('/version')).status).toBe(200);
}, TEST_TIMEOUT_MS);

test('random bytes on the connection never stop it from serving', async () => {
  const toolbox = await startToolbox();
  await fc.assert(fc.asyncProperty(fc.string({ unit: fc.constantFrom('GET ', '/', ' HTTP/1.1\r\n', '\r\n', 'Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', ':', '\0', 'é', '5\r\n', '0\r\n\r\n', 'POST '), maxLength: 12 }), async (bytes) => {
    await toolbox.raw(`${bytes}\r\n\r\n\0\0`);
  }), { numRuns: RUNS < 1000 ? Math.min(RUNS, 100) : RUNS });
  expect((await toolbox.get('/version')).status).toBe(200);
}, TEST_TIMEOUT_MS);
