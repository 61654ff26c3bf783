import fc from 'fast-check';
import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

const text: fc.Arbitrary<unknown> = fc.oneof({ weight: 4, arbitrary: fc.constantFrom<unknown>('', '.', '..', '/', 'r', 'r/', 'bare', 'd', 'f', 'main', 'HEAD', 'HEAD~9', '@', '@{-1}', '-', '--', '-f', '--exec=touch x', ':(exclude)f', ':/', '*', '\0', 'a\0b', 'a\nb', 'x'.repeat(300), '\ud800', 'origin', 'user.name', 'a.b', 'local', 'global', 'hard', 'soft', 'refs/heads/main', 'main:main', '+main', 'r/.git', '1'.repeat(40)) }, fc.string({ unit: 'binary', maxLength: 20 }));

/** Anything at all, for the places where something else is expected. */
const other: fc.Arbitrary<unknown> = fc.oneof({ depthSize: 'small' }, fc.integer(), fc.double(), fc.boolean(), fc.constant(null), text, fc.array(fc.string(), { maxLength: 3 }), fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), { maxKeys: 3 }));

const flag = fc.boolean();
const KINDS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  files: fc.array(fc.constantFrom('f', '.', '', ':f', '-x', '\0', '/etc/passwd', 'new', 'x'.repeat(5000)), { maxLength: 3 }), depth: fc.integer({ min: -1, max: 3 }),
  bare: flag, allow_empty: flag, staged: flag, worktree: flag, fetch: flag, overwrite: flag, insecure_skip_tls: flag, set_upstream: flag, mode: fc.constantFrom('soft', 'mixed', 'hard', 'keep', 'merge', ''),
};

/** Mostly of the right type, so that it reaches git. */
const valueOf = (field: string): fc.Arbitrary<unknown> => fc.oneof({ weight: 9, arbitrary: KINDS[field] ?? text }, { weight: 1, arbitrary: other });

/** Method, path and fields. Addresses are fixed to a closed port of this machine: nothing random is dialled. */
const CLOSED = 'http://localhost:1/a.git';
const ROUTES: readonly (readonly [string, string, readonly string[], object])[] = [
  ['POST', '/git/init', ['bare', 'initial_branch'], {}], ['POST', '/git/add', ['files'], {}], ['POST', '/git/branches', ['name'], {}], ['DELETE', '/git/branches', ['name'], {}],
  ['POST', '/git/checkout', ['branch'], {}], ['POST', '/git/commit', ['message', 'author', 'email', 'allow_empty'], {}], ['POST', '/git/reset', ['mode', 'target', 'files'], {}],
  ['POST', '/git/restore', ['files', 'staged', 'worktree', 'source'], { files: ['f'] }], ['POST', '/git/config', ['key', 'value', 'scope'], {}], ['POST', '/git/config/user', ['name', 'email', 'scope'], {}],
  ['POST', '/git/credentials', ['username', 'password', 'host', 'protocol'], {}], ['POST', '/git/remotes', ['name', 'fetch', 'overwrite'], { url: CLOSED }],
  ['POST', '/git/clone', ['branch', 'commit_id', 'depth', 'insecure_skip_tls', 'username', 'password'], { url: CLOSED }],
  ['POST', '/git/push', ['branch', 'remote', 'set_upstream', 'username', 'password'], {}], ['POST', '/git/pull', ['branch', 'remote', 'username', 'password'], {}],
];
const QUERIES = ['/git/status', '/git/history', '/git/branches', '/git/remotes', '/git/config'];

const RUNS = Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 400);

test('no git request is answered with a 5xx, and none reaches beyond the repository', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('git init -q r; git init -q --bare bare; cd r; echo x > f; git config user.name a; git config user.email b; git add f; git commit -qm m; cd ..; mkdir d; touch plain');
  const path = fc.oneof({ weight: 3, arbitrary: fc.constant<unknown>('r') }, fc.constantFrom<unknown>('bare', 'd', 'plain', 'none', 'r/.git', 'x:y', '', '\0', 7, null));
  const change = fc.constantFrom(...ROUTES).chain(([method, route, fields, fixed]) =>
    fc.record({ path: route === '/git/config' ? fc.constant<unknown>('r') : path, ...Object.fromEntries(fields.map((field) => [field, valueOf(field)])) }, { requiredKeys: ['path'] })
      .map((body) => ({ method, route, body: JSON.stringify({ ...body, ...fixed }) as string | undefined })));
  const question = fc.record({ route: fc.constantFrom(...QUERIES), path, key: text, scope: text }).map(({ route, ...query }) => ({
    method: 'GET', body: undefined,
    route: `${route}?${Object.entries(query).map(([name, item]) => `${name}=${encodeURIComponent((typeof item === 'string' ? item : JSON.stringify(item) ?? '').toWellFormed())}`).join('&')}`,
  }));
  await fc.assert(fc.asyncProperty(fc.oneof({ weight: 3, arbitrary: change }, question), async ({ method, route, body }) => {
    const reply = await toolbox.send(method, route, { body });
    expect([method, route, body, reply.status, reply.status < 500 ? '' : reply.text]).toEqual([method, route, body, expect.toSatisfy((status: number) => status < 500 || (status === 502 && reply.json.code === 'GIT_TRANSPORT_FAILED')), expect.anything()]);
    if (reply.status >= 400) expect(reply.json).toMatchObject({ statusCode: reply.status, source: 'DAYTONA_DAEMON' });
  }), { numRuns: RUNS });
  expect((await toolbox.get('/version')).status).toBe(200);
  expect((await toolbox.exec('ls -d x touch* 2>/dev/null; pgrep -c -P $PPID git')).json.result).toBe('0\n');
}, 60_000 + RUNS * 100);
