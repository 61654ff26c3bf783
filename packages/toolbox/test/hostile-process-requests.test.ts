import fc from 'fast-check';
import { expect, test } from 'vitest';
import { leavesOnly, unusedUid } from './processes.ts';
import { startToolbox } from './toolbox.ts';

const UID = unusedUid();
const RUNS = Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 200);

/** Values a careless or hostile client may send anywhere. */
const value: fc.Arbitrary<unknown> = fc.oneof(
  { depthSize: 'small' },
  fc.constantFrom<unknown>('', '.', '..', '/', '/dev/null', '/tmp', 'd', 'f', '\0', 'a\0b', 'x'.repeat(300), '\ud800', '\n', '%00', 'python', 'javascript', 'true', 0, 1, 80, 1000, 1001, -1, 2 ** 53),
  fc.string({ unit: 'binary', maxLength: 20 }), fc.integer(), fc.double(), fc.boolean(), fc.constant(null),
  fc.array(fc.string(), { maxLength: 3 }), fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), { maxKeys: 3 }),
);

/** Ids: mostly of what may be there, so that requests meet. */
const id = fc.oneof({ weight: 4, arbitrary: fc.constantFrom<unknown>('a', 'b', 'entrypoint') }, value);
const segment = id.map((it) => encodeURIComponent((typeof it === 'string' ? it : String(JSON.stringify(it))).toWellFormed()) || 'x');

/** Commands run `true` at most, so that random text does no harm; terminals wait for a client that never comes. */
const routes: readonly (readonly [method: string, path: string, fields: readonly string[], fixed: object])[] = [
  ['POST', '/process/session', [], {}], ['GET', '/process/session', [], {}], ['GET', '/process/session/{id}', [], {}], ['DELETE', '/process/session/{id}', [], {}],
  ['POST', '/process/session/{id}/exec', ['runAsync', 'async', 'suppressInputEcho'], { command: 'true' }], ['POST', '/process/session/{id}/exec', ['command'], { runAsync: true }],
  ['GET', '/process/session/{id}/command/{id}', [], {}], ['GET', '/process/session/{id}/command/{id}/logs', [], {}], ['POST', '/process/session/{id}/command/{id}/input', ['data'], {}],
  ['POST', '/process/pty', ['cwd', 'envs', 'cols', 'rows'], { lazyStart: true }], ['GET', '/process/pty', [], {}], ['GET', '/process/pty/{id}', [], {}], ['DELETE', '/process/pty/{id}', [], {}],
  ['POST', '/process/pty/{id}/resize', ['cols', 'rows'], {}],
  ['GET', '/process/interpreter/context', [], {}], ['POST', '/process/interpreter/context', ['cwd', 'language'], {}], ['DELETE', '/process/interpreter/context/{id}', [], {}],
];

const request = fc.constantFrom(...routes).chain(([method, path, fields, fixed]) => fc.record({
  method: fc.constant(method),
  path: fc.array(segment, { minLength: 2, maxLength: 2 }).map(([first, second]) => path.replace('{id}', first!).replace('{id}', second!)),
  body: method !== 'POST' ? fc.constant(undefined) : fc.oneof(
    { weight: 9, arbitrary: fc.record({ id, sessionId: id, ...Object.fromEntries(fields.map((field) => [field, value])) }, { requiredKeys: [] }).map((body) => JSON.stringify({ ...body, ...fixed })) },
    fc.constantFrom('', '{', '[]', 'null', '7', '"x"', '{"id":1e999}', '\0', '{"a":'.repeat(2000)),
  ),
  version: fc.constantFrom('', '0.100.0', '0.216.0', 'x', '99999999999999999999.0.0'),
}));

test('no request about sessions, terminals and contexts is answered with a 5xx, and all they started can be ended', async () => {
  const toolbox = await startToolbox({ uid: UID });
  await toolbox.exec('mkdir d; touch f');
  await fc.assert(fc.asyncProperty(request, async ({ method, path, body, version }) => {
    const reply = await toolbox.send(method, path, { body, headers: version === '' ? {} : { 'X-Daytona-SDK-Version': version } });
    expect([method, path, body, reply.status]).toEqual([method, path, body, expect.toSatisfy((status: number) => status < 500)]);
    if (reply.status >= 400) expect(reply.json).toMatchObject({ statusCode: reply.status, source: 'DAYTONA_DAEMON' });
    if (method === 'POST' && path === '/process/interpreter/context' && reply.status === 200) await toolbox.send('DELETE', `${path}/${reply.json.id}`);
  }), { numRuns: RUNS });
  expect(toolbox.child.exitCode).toBeNull();
  const end = async (list: string, ids: readonly string[]): Promise<void> => {
    for (const name of ids) expect([name, (await toolbox.send('DELETE', `${list}/${encodeURIComponent(name)}`)).status]).toEqual([name, expect.toSatisfy((status: number) => status < 300)]);
  };
  await end('/process/session', ((await toolbox.get('/process/session')).json as { sessionId: string }[]).map(({ sessionId }) => sessionId).filter((name) => name !== 'entrypoint'));
  await end('/process/pty', ((await toolbox.get('/process/pty')).json.sessions as { id: string }[]).map((session) => session.id));
  await leavesOnly(toolbox, UID, 0);
}, 60_000 + RUNS * 200);
