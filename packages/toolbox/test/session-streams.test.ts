import { once } from 'node:events';
import http from 'node:http';
import { expect, test } from 'vitest';
import { eventually, startToolbox, type Toolbox } from './toolbox.ts';
import { demux, follow, logsPath, newSession } from './session-support.ts';

test('a WebSocket follower gets all from the first byte to the last, each frame beginning with a marker, and close 1000', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('echo first; sleep 0.2; printf prompt; sleep 0.2; echo err >&2; seq 1 20000; echo last');
  await eventually(async () => (await session.get(`/command/${command}/logs`)).json.stdout.startsWith('first'));
  const { frames, closed, text } = follow(toolbox, logsPath(session, command));
  await eventually(() => text().includes('prompt'));
  expect(await session.exitCode(command)).toBeUndefined();
  expect(await closed).toBe(1000);
  expect(frames.every((frame) => (frame[0] === 1 || frame[0] === 2) && frame[1] === frame[0] && frame[2] === frame[0])).toBe(true);
  expect(Math.max(...frames.map(({ length }) => length))).toBeLessThanOrEqual(32 * 1024);
  const { stdout, stderr } = demux(Buffer.concat(frames));
  expect(stderr).toBe('err\n');
  expect(stdout).toBe(`first\nprompt${Array.from({ length: 20000 }, (_, at) => `${at + 1}\n`).join('')}last\n`);
  // A reader that comes back gets the same again.
  const again = follow(toolbox, logsPath(session, command));
  expect(await again.closed).toBe(1000);
  expect(demux(Buffer.concat(again.frames))).toEqual({ stdout, stderr });
});

test('without follow a WebSocket gets what there is', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('echo so far; sleep 60');
  await eventually(async () => (await session.get(`/command/${command}/logs`)).json.stdout === 'so far\n');
  const reader = follow(toolbox, logsPath(session, command).replace('?follow=true', ''));
  expect(await reader.closed).toBe(1000);
  expect(demux(Buffer.concat(reader.frames)).stdout).toBe('so far\n');
  await session.delete();
});

test('clients that know no markers get none, those that tell their version by a subprotocol get it echoed', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const { cmdId } = await session.run('echo out; echo err >&2');
  const old = follow(toolbox, logsPath(session, cmdId), {});
  expect(await old.closed).toBe(1000);
  expect(old.text().split('\n').sort()).toEqual(['', 'err', 'out']);
  const browser = follow(toolbox, logsPath(session, cmdId), {}, ['X-Daytona-Pty-Envs~e30', 'X-Daytona-SDK-Version~0.216.0']);
  expect(await browser.closed).toBe(1000);
  expect(browser.socket.protocol).toBe('X-Daytona-SDK-Version~0.216.0');
  expect(demux(Buffer.concat(browser.frames))).toEqual({ stdout: 'out\n', stderr: 'err\n' });
});

test('many readers of one command each get all of it', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('for i in 1 2 3 4 5 6 7 8 9 10; do seq $((i * 1000)); sleep 0.02; done');
  const readers = Array.from({ length: 10 }, () => follow(toolbox, logsPath(session, command)));
  expect(await Promise.all(readers.map(({ closed }) => closed))).toEqual(readers.map(() => 1000));
  const all = (await session.get(`/command/${command}/logs`)).json.stdout;
  expect(readers.map(({ frames }) => demux(Buffer.concat(frames)).stdout === all)).toEqual(readers.map(() => true));
});

test('a follower is told the end when the session is deleted, and pings are answered while nothing is printed', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('echo on; sleep 1000');
  const reader = follow(toolbox, logsPath(session, command));
  await eventually(() => reader.text().includes('on'));
  reader.socket.ping();
  await once(reader.socket, 'pong');
  await session.delete();
  expect(await reader.closed).toBe(1000);
  await expect(follow(toolbox, logsPath(session, command)).closed).rejects.toThrow('404');
});

test('a follower sees a command out that exits by itself and by signals', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('echo bye; exit 3');
  const reader = follow(toolbox, logsPath(session, command));
  expect(await reader.closed).toBe(1000);
  expect(demux(Buffer.concat(reader.frames)).stdout).toBe('bye\n');
  expect(await session.exitCode(command)).toBe(3);
});

function stream(toolbox: Toolbox, path: string, headers: Record<string, string> = {}): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => http.get({ socketPath: toolbox.socketPath, path, headers, agent: false }, resolve).on('error', reject));
}

test('plain HTTP can follow too: connected at once, combined, to the end', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('sleep 2; printf a; sleep 0.1; echo b >&2; sleep 0.1; printf c');
  const before = Date.now();
  const response = await stream(toolbox, logsPath(session, command));
  expect(Date.now() - before).toBeLessThan(1_900);
  expect(response.headers['content-type']).toBe('application/octet-stream');
  const chunks: string[] = [];
  for await (const chunk of response) chunks.push(String(chunk));
  expect(chunks).toEqual(['a', 'b\n', 'c']);
  const split = await stream(toolbox, logsPath(session, command), { 'X-Daytona-Split-Output': 'true' });
  const bytes: Buffer[] = [];
  for await (const chunk of split) bytes.push(chunk);
  expect(demux(Buffer.concat(bytes))).toEqual({ stdout: 'ac', stderr: 'b\n' });
});

test('the log of the entrypoint can be followed', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/init', { entrypoint: ['sh', '-c', 'echo one; sleep 0.3; echo two >&2'] });
  await eventually(async () => (await toolbox.get('/process/session/entrypoint')).status === 200);
  const reader = follow(toolbox, '/process/session/entrypoint/logs?follow=true');
  expect(await reader.closed).toBe(1000);
  expect(demux(Buffer.concat(reader.frames))).toEqual({ stdout: 'one\n', stderr: 'two\n' });
  let text = '';
  for await (const chunk of await stream(toolbox, '/process/session/entrypoint/logs?follow=true')) text += chunk;
  expect(text).toBe('one\ntwo\n');
});
