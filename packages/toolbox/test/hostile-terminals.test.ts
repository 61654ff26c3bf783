import fc from 'fast-check';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connect, type Peer } from './websocket.ts';
import { eventually, startToolbox, type Toolbox } from './toolbox.ts';

/** Random and hostile input for terminals and interpreter. `PADDOCK_FUZZ_RUNS=10000` is the long form. */
const RUNS = Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 300);
const TEST_TIMEOUT_MS = 60_000 + RUNS * 200;

const value: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom('', '.', '/', '..', '\0', '/dev/null', '/proc/self/fd/0', 'x'.repeat(5000), '%00', '\ud800', 'python', 'default'),
  fc.string({ unit: 'binary', maxLength: 20 }), fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.array(fc.integer(), { maxLength: 3 }),
  fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(fc.string({ maxLength: 5 }), fc.integer()), { maxKeys: 3 }),
);
const body = (...fields: readonly string[]): fc.Arbitrary<Record<string, unknown>> => fc.record(Object.fromEntries(fields.map((field) => [field, value])), { requiredKeys: [] });
const frame = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)));

const healthy = async (toolbox: Toolbox): Promise<void> => {
  expect((await toolbox.get('/version')).status).toBe(200);
  expect(toolbox.child.exitCode).toBeNull();
};

test('no body is answered with a 5xx, and every terminal that was made can be ended', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const request = fc.oneof(
    body('id', 'cwd', 'envs', 'cols', 'rows').map((fields) => ['/process/pty', { ...fields, lazyStart: true }] as const),
    body('cols', 'rows').map((fields) => ['/process/pty/p/resize', fields] as const),
    body('cwd', 'language').map((fields) => ['/process/interpreter/context', { language: 'ruby', ...fields }] as const),
  );
  await fc.assert(fc.asyncProperty(request, async ([path, fields]) => {
    const reply = await toolbox.post(path, fields);
    expect([path, reply.status]).toEqual([path, expect.toSatisfy((status: number) => status < 500)]);
    if (reply.status === 201) expect((await toolbox.send('DELETE', `/process/pty/${encodeURIComponent(reply.json.sessionId)}`)).status).toBe(200);
    if (reply.status === 200) expect((await toolbox.send('DELETE', `/process/interpreter/context/${reply.json.id}`)).status).toBe(200);
  }), { numRuns: RUNS });
  expect((await toolbox.get('/process/pty')).json.sessions).toEqual([]);
  await healthy(toolbox);
}, TEST_TIMEOUT_MS);

test('hostile queries and subprotocols of create-connect are refused or served, never a 5xx', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const token = fc.oneof(fc.constantFrom('X-Daytona-Pty-Exit-Control', 'X-Daytona-SDK-Version~1.2.3', 'X-Daytona-Pty-Envs~', 'X-Daytona-Pty-Envs~bnVsbA', 'X-Daytona-Pty-Envs~W10', 'odd'), fc.base64String({ maxLength: 40 }).map((text) => `X-Daytona-Pty-Envs~${text.replace(/[+/=]/g, '')}`));
  const text = value.map((item) => encodeURIComponent((typeof item === 'string' ? item : JSON.stringify(item) ?? '').toWellFormed()));
  const request = fc.record({ query: fc.record({ id: text, cols: text, rows: text, cwd: text }, { requiredKeys: [] }), tokens: fc.uniqueArray(token, { maxLength: 3 }) });
  await fc.assert(fc.asyncProperty(request, async ({ query, tokens }) => {
    // Wire: the token with the variables is never echoed. A client that offers no other gives the handshake up.
    const peer = await connect(toolbox, `/process/pty/create-connect?${Object.entries(query).map((pair) => pair.join('=')).join('&')}`, tokens)
      .catch((error: Error) => {
        expect([tokens.every((it) => it.startsWith('X-Daytona-Pty-Envs~')), error.message]).toEqual([true, 'Server sent no subprotocol']);
        return null;
      });
    if (peer?.refused) expect(peer.refused.status).toBeLessThan(500);
    peer?.socket.terminate();
    for (const { id } of (await toolbox.get('/process/pty')).json.sessions) await toolbox.send('DELETE', `/process/pty/${encodeURIComponent(id)}`);
  }), { numRuns: RUNS });
  await healthy(toolbox);
}, TEST_TIMEOUT_MS);

test('the interpreter closes every hostile first message with a code of its table', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const message = fc.oneof(frame, body('contextId', 'timeout', 'envs').map((fields) => JSON.stringify({ code: '0', ...fields })), body('code', 'timeout').map((fields) => JSON.stringify({ ...fields, timeout: -1 })));
  await fc.assert(fc.asyncProperty(message, fc.array(frame, { maxLength: 2 }), async (first, more) => {
    const peer = await connect(toolbox, '/process/interpreter/execute');
    for (const data of [first, ...more]) peer.socket.send(data);
    expect([1000, 1002, 1008, 4008]).toContain((await peer.closed()).code);
  }), { numRuns: RUNS });
  await healthy(toolbox);
}, TEST_TIMEOUT_MS);

test('random keys in a terminal, and frames that break the protocol, leave the toolbox as it was', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const descriptors = (): number => readdirSync(`/proc/${toolbox.child.pid}/fd`).length;
  let number = 0;
  const visit = async (keys: readonly (string | Buffer)[], garbage: Uint8Array | null): Promise<void> => {
    const id = `t${number++}`;
    const peer: Peer = await connect(toolbox, `/process/pty/create-connect?id=${id}`);
    // The keys reach `cat` alone, and nothing when they end it.
    peer.socket.send('stty -echo; echo rea""dy; exec cat >/dev/null\r');
    await peer.sees('ready');
    for (const key of keys) peer.socket.send(key);
    if (garbage) (peer.socket as unknown as { _socket: { write(data: Uint8Array): void } })._socket.write(garbage);
    await toolbox.send('DELETE', `/process/pty/${id}`);
    peer.socket.terminate();
    await peer.closed();
  };
  // What is loaded and kept with the first terminals is no leak.
  for (let warmUp = 0; warmUp < 5; warmUp++) await visit(['x'], null);
  const before = descriptors();
  await fc.assert(fc.asyncProperty(fc.array(frame, { maxLength: 10 }), fc.option(fc.uint8Array({ minLength: 2, maxLength: 20 })), visit), { numRuns: Math.ceil(RUNS / 5) });
  await healthy(toolbox);
  await eventually(() => descriptors() <= before + 3);
  expect((await toolbox.exec('ps -o stat= --ppid $PPID | grep -c Z || true')).json.result.trim()).toBe('0');
}, TEST_TIMEOUT_MS);
