import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import type { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { eventually, startToolbox, type Toolbox } from './toolbox.ts';
import { demux, follow, logsPath, newSession, rawFollower } from './session-support.ts';

const MIB = 1024 * 1024;
const memoryBytes = (toolbox: Toolbox): number => Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${toolbox.child.pid}/status`, 'utf8'))![1]) * 1024;
const diskBytes = async (toolbox: Toolbox): Promise<number> => Number((await toolbox.exec('du -sb .daytona/sessions | cut -f1')).json.result);

/** Repeatable text of any length, fast to print. */
const printing = (mib: number): string => `yes 'the same forty characters on every line' | head -c ${mib * MIB}`;
const digest = (mib: number): string => {
  const line = Buffer.from('the same forty characters on every line\n');
  const hash = createHash('md5');
  const block = Buffer.alloc(line.length * 4096, line);
  for (let left = mib * MIB; left > 0; left -= block.length) hash.update(left >= block.length ? block : block.subarray(0, left));
  return hash.digest('hex');
};

test('a reader that reads along loses nothing of a long output; memory stays flat and the disk within the limit', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  await session.run('true');
  const before = memoryBytes(toolbox);
  const command = await session.start(printing(300));
  const reader = follow(toolbox, logsPath(session, command));
  const hash = createHash('md5');
  let bytes = 0;
  let peak = 0;
  reader.socket.on('message', (frame: Buffer) => {
    reader.frames.length = 0;
    const { stdout } = demux(frame);
    hash.update(stdout);
    bytes += stdout.length;
    if (Date.now() % 16 === 0) peak = Math.max(peak, memoryBytes(toolbox));
  });
  expect(await reader.closed).toBe(1000);
  expect(bytes).toBe(300 * MIB);
  expect(hash.digest('hex')).toBe(digest(300));
  expect(peak - before).toBeLessThan(48 * MIB);
  expect(await diskBytes(toolbox)).toBeLessThanOrEqual(72 * MIB);
  // The newest 64 MiB are kept, less what was dropped with a whole file.
  const kept = await session.get(`/command/${command}/logs`, {});
  expect(kept.body.length).toBeGreaterThan(58 * MIB);
  expect(kept.body.length).toBeLessThanOrEqual(72 * MIB);
  await session.delete();
  expect(await diskBytes(toolbox)).toBeLessThan(MIB);
}, 60_000);

test('a long output without a reader does not wait for anybody, and its reply holds the newest part', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const reply = await session.exec(`${printing(200)}; echo the end`, {}, {});
  expect(reply.json.exitCode).toBe(0);
  expect(reply.json.output.endsWith('line\nthe end\n')).toBe(true);
  expect(reply.json.output.length).toBeLessThanOrEqual(72 * MIB);
}, 60_000);

test('a slow reader makes the command wait when it is far behind, and gets everything in the end', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start(`${printing(120)}; echo printed >&2`);
  const socket = await rawFollower(toolbox, logsPath(session, command));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(await session.exitCode(command)).toBeUndefined();
  let bytes = 0;
  socket.on('data', (chunk) => (bytes += chunk.length));
  await eventually(async () => (await session.exitCode(command)) === 0, 20_000);
  await eventually(() => bytes > 120 * MIB, 20_000);
  socket.destroy();
}, 60_000);

test('a reader that goes away does not keep the command waiting', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start(printing(150));
  const socket = await rawFollower(toolbox, logsPath(session, command));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(await session.exitCode(command)).toBeUndefined();
  socket.destroy();
  await eventually(async () => (await session.exitCode(command)) === 0, 20_000);
}, 60_000);

test('a reader that takes nothing for long is cut off; the command and the others go on', async () => {
  const toolbox = await startToolbox({ env: { PADDOCK_LOG_STALL_MS: '1500' } });
  const session = await newSession(toolbox);
  const command = await session.start(printing(120));
  const other = follow(toolbox, logsPath(session, command));
  let bytes = 0;
  other.socket.on('message', (frame: Buffer) => {
    other.frames.length = 0;
    bytes += demux(frame).stdout.length;
  });
  const stuck = await rawFollower(toolbox, logsPath(session, command));
  const stuckPlain = request({ socketPath: toolbox.socketPath, path: logsPath(session, command), agent: false }).end();
  stuckPlain.on('error', () => undefined);
  const reply = await new Promise<IncomingMessage>((resolve) => stuckPlain.once('response', resolve));
  expect(await other.closed).toBe(1000);
  expect(bytes).toBe(120 * MIB);
  await eventually(async () => (await session.exitCode(command)) === 0, 20_000);
  // What lies in the kernel's buffers is all that either still gets.
  expect(await drained(stuck)).toBeLessThan(16 * MIB);
  expect(await drained(reply)).toBeLessThan(16 * MIB);
  expect(reply.complete).toBe(false);
}, 60_000);

/** @returns how many bytes come until the stream is closed */
const drained = (stream: Readable): Promise<number> => new Promise((resolve) => {
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('error', () => undefined).once('close', () => resolve(bytes)).resume();
});

test('only the newest thousand commands of a session are remembered', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const first = (await session.run('echo first')).cmdId;
  for (let round = 0; round < 21; round++) await Promise.all(Array.from({ length: 50 }, () => session.exec('echo some more')));
  expect((await session.get('')).json.commands).toHaveLength(1000);
  expect((await session.get(`/command/${first}`)).status).toBe(404);
}, 60_000);
