import { readdirSync } from 'node:fs';
import net from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eventually, startToolbox } from './toolbox.ts';
import { logsPath, newSession } from './session-support.ts';

const RUNS = Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 300);
const TEST_TIMEOUT_MS = 120_000 + RUNS * 200;

const value: fc.Arbitrary<unknown> = fc.oneof(
  { depthSize: 'small' },
  fc.constantFrom('', '.', '..', 's', 'entrypoint', 'a/b', '\0', '\ud800', 'x'.repeat(300), 'true', '-1', "'; exit 1 #", '$(exit 2)', '\n', ')'),
  fc.string({ unit: 'binary', maxLength: 20 }), fc.integer(), fc.boolean(), fc.constant(null), fc.array(fc.string(), { maxLength: 2 }),
);
const segment = fc.oneof(fc.constantFrom('s', 'entrypoint', '..', '%00', '%2e%2e', '%2F', '%', 'unknown', 'entrypoint_command'), fc.string({ maxLength: 8 }).map((text) => encodeURIComponent(text.toWellFormed())));

test('no request about sessions is answered with a 5xx or left without an answer', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await newSession(toolbox);
  const body = fc.record({ sessionId: value, data: value, async: value, runAsync: value, suppressInputEcho: value }, { requiredKeys: [] });
  const path = fc.tuple(segment, fc.constantFrom('', '/exec', '/logs', '/command/x', '/command/x/input', '/command/x/logs?follow=true', '/command/x/logs?follow=%')).map(([id, rest]) => `/process/session/${id}${rest}`);
  const request = fc.record({ method: fc.constantFrom('GET', 'POST', 'DELETE', 'PUT'), path: fc.oneof(path, fc.constant('/process/session')), body });
  await fc.assert(fc.asyncProperty(request, async ({ method, path: target, body: fields }) => {
    const reply = await toolbox.send(method, target, { body: JSON.stringify({ ...fields, command: 'true' }) });
    expect([method, target, fields, reply.status]).toEqual([method, target, fields, expect.toSatisfy((status: number) => status < 500)]);
    if (reply.status >= 400 && method !== 'PUT') expect(reply.json).toMatchObject({ statusCode: reply.status, source: 'DAYTONA_DAEMON' });
  }), { numRuns: RUNS });
  for (const { sessionId } of (await toolbox.get('/process/session')).json) await toolbox.send('DELETE', `/process/session/${encodeURIComponent(sessionId)}`);
  expect((await toolbox.get('/version')).status).toBe(200);
  expect((await toolbox.exec(`pgrep -P ${toolbox.child.pid} -c`)).json.result.trim()).toBe('1');
}, TEST_TIMEOUT_MS);

const within = <T>(ms: number, what: string, promise: Promise<T>): Promise<T> =>
  Promise.race([promise, new Promise<T>((_, reject) => setTimeout(() => reject(new Error(`no answer: ${what}`)), ms).unref())]);

test('no text of a command leaves its session without an answer', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const text = fc.array(fc.constantFrom("'", '"', '`', '$(', ')', '}', '{', ';', '\n', '\\', 'exit 3', 'exec', 'if', 'then', 'fi', '<<E', 'set -e', 'return', '#', '&', '|', '((', '[[', 'ü', '\x01\x01\x01', 'true', 'false', '>&-', '<&-', 'cd /', ' '), { maxLength: 8 }).map((words) => words.join(' '));
  let number = 0;
  await fc.assert(fc.asyncProperty(text.filter((command) => command !== ''), async (command) => {
    const session = await newSession(toolbox, `t${number++}`);
    const reply = await within(5000, command, session.exec(command));
    expect([command, reply.status, reply.json.exitCode]).toEqual([command, 200, expect.any(Number)]);
    const next = await within(5000, command, session.exec('builtin printf fine'));
    expect([command, next.status]).toEqual([command, expect.toSatisfy((status: number) => status === 200 || status === 410)]);
    if (next.status === 200) expect([command, next.json.stdout]).toEqual([command, 'fine']);
    await session.delete();
  }), { numRuns: Math.ceil(RUNS / 2) });
}, TEST_TIMEOUT_MS);

test('hostile frames on a log socket close it and nothing else', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('while sleep 0.01; do echo tick; done');
  const before = readdirSync(`/proc/${toolbox.child.pid}/fd`).length;
  const handshake = `GET ${logsPath(session, command)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
  await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.boolean(), async (bytes, abrupt) => {
    const socket = net.connect(toolbox.socketPath);
    socket.on('error', () => undefined).resume();
    socket.write(handshake);
    socket.write(bytes);
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (!abrupt) socket.end();
    else socket.destroy();
  }), { numRuns: RUNS < 1000 ? Math.min(RUNS, 100) : RUNS });
  expect((await session.get(`/command/${command}/logs`)).json.stdout).toContain('tick');
  await eventually(() => readdirSync(`/proc/${toolbox.child.pid}/fd`).length <= before + 3);
  await session.delete();
}, TEST_TIMEOUT_MS);
