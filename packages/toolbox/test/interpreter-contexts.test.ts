import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { execute, outcome, start } from './interpreter-rig.ts';
import { eventually, startToolbox } from './toolbox.ts';

test('contexts are apart from each other, have a directory of their own, and are listed without the default one', async () => {
  const toolbox = await startToolbox();
  mkdirSync(join(toolbox.dir, 'sub'));
  const made = await toolbox.post('/process/interpreter/context', { cwd: 'sub' });
  expect(made).toMatchObject({ status: 200, json: { id: expect.stringMatching(/^[0-9a-f-]{36}$/), cwd: join(toolbox.dir, 'sub'), active: true, language: 'python', createdAt: expect.any(String) } });
  const { id } = made.json;
  await execute(toolbox, 'x = 1');
  expect((await execute(toolbox, 'import os\nprint(os.getcwd())\nprint(x)', { contextId: id }))).toMatchObject({ stdout: `${toolbox.dir}/sub\n`, error: { name: 'NameError' } });
  expect((await execute(toolbox, 'import os\nprint(os.getcwd(), x)', { contextId: 'default' })).stdout).toBe(`${toolbox.dir} 1\n`);
  expect((await toolbox.get('/process/interpreter/context')).json.contexts.map((context: { id: string }) => context.id)).toEqual([id]);
  for (const body of [{ language: 'ruby' }, { cwd: '/does/not/exist' }, { cwd: 1 }]) expect((await toolbox.post('/process/interpreter/context', body)).status).toBe(400);
  expect(await toolbox.send('DELETE', `/process/interpreter/context/${id}`)).toMatchObject({ status: 200, json: { message: expect.any(String) } });
  expect((await toolbox.send('DELETE', `/process/interpreter/context/${id}`)).status).toBe(404);
  expect((await toolbox.send('DELETE', '/process/interpreter/context/default')).status).toBe(400);
  expect(await execute(toolbox, '1', { contextId: id })).toMatchObject({ code: 1008, reason: `context not found: ${id}` });
});

test('runs of one context wait for each other, in order; contexts do not wait', async () => {
  const toolbox = await startToolbox();
  const { id } = (await toolbox.post('/process/interpreter/context', {})).json;
  await execute(toolbox, 'import time\nseen = []');
  const runs = await Promise.all(Array.from({ length: 10 }, (_, at) => start(toolbox, { code: `time.sleep(0.05)\nseen.append(${at})\nprint(len(seen))` })));
  const other = await execute(toolbox, 'print("at once")', { contextId: id });
  expect(other.stdout).toBe('at once\n');
  const printed = await Promise.all(runs.map(async (peer) => (await outcome(peer)).stdout));
  expect(printed.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 10 }, (_, at) => `${at + 1}\n`));
});

test('128 runs wait, the next is refused', async () => {
  const toolbox = await startToolbox();
  const first = await start(toolbox, { code: 'import time\ntime.sleep(1.5)\nn = 0' });
  await sleep(100);
  const waiting = [];
  for (let at = 0; at < 128; at++) waiting.push(await start(toolbox, { code: 'n += 1' }));
  await sleep(50);
  expect(await execute(toolbox, 'n += 1')).toMatchObject({ code: 1008, reason: expect.stringContaining('queue') });
  expect((await first.closed()).code).toBe(1000);
  for (const peer of waiting) expect((await peer.closed()).code).toBe(1000);
  expect((await execute(toolbox, 'print(n)')).stdout).toBe('128\n');
});

test('a time limit interrupts, closes with 4008 and leaves the names', async () => {
  const toolbox = await startToolbox();
  await execute(toolbox, 'import time, os\nkept = "kept"');
  const ran = await execute(toolbox, 'print("begun")\ntime.sleep(60)', { timeout: 1 });
  expect(ran).toMatchObject({ stdout: 'begun\n', error: null, controls: ['interrupted'], code: 4008, reason: '' });
  expect((await execute(toolbox, 'print(kept)')).stdout).toBe('kept\n');
  // A source that waits in os.system does not hear the interrupt; what it waits for does.
  const shell = await execute(toolbox, 'os.system("sleep 60")', { timeout: 0.2 });
  expect(shell).toMatchObject({ code: 4008, controls: ['interrupted'] });
  expect((await execute(toolbox, 'print(kept)')).stdout).toBe('kept\n');
});

test('a source that ignores its interrupt is killed after 2 s, and the context starts anew', async () => {
  const toolbox = await startToolbox();
  const { id } = (await toolbox.post('/process/interpreter/context', {})).json;
  await execute(toolbox, 'import subprocess, time\nsubprocess.Popen(["sleep", "4321"])\nx = 1', { contextId: id });
  const run = start(toolbox, { contextId: id, timeout: 0.3, code: 'while True:\n  try:\n    while True: time.sleep(1)\n  except KeyboardInterrupt: pass' });
  const startedAt = Date.now();
  const ran = await outcome(await run);
  expect(ran).toMatchObject({ code: 4008, reason: '', controls: [] });
  expect(Date.now() - startedAt).toBeGreaterThan(2200);
  expect(Date.now() - startedAt).toBeLessThan(4000);
  expect((await toolbox.get('/process/interpreter/context')).json.contexts[0]).toMatchObject({ id, active: false });
  expect((await toolbox.exec('pgrep -fc "^sleep 4321" || true')).json.result).toBe('0\n');
  expect((await execute(toolbox, 'print("x" in globals())', { contextId: id })).stdout).toBe('False\n');
  expect((await toolbox.get('/process/interpreter/context')).json.contexts[0]).toMatchObject({ id, active: true });
});

test('an interpreter that dies closes with 1001, and the queue goes on with a new one', async () => {
  const toolbox = await startToolbox();
  const dying = await start(toolbox, { code: 'import os, time\nprint("last words")\ntime.sleep(0.3)\nos._exit(7)' });
  const next = await start(toolbox, { code: 'print("alive")' });
  expect(await outcome(dying)).toMatchObject({ stdout: 'last words\n', code: 1001, reason: 'the interpreter ended (exit code 7)', controls: [], error: { name: 'InterpreterDied' } });
  expect(await outcome(next)).toMatchObject({ stdout: 'alive\n', code: 1000 });
  expect(await execute(toolbox, 'import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)')).toMatchObject({ code: 1001, reason: 'the interpreter ended (signal SIGSEGV)' });
});

test('closing the socket does not stop the code', async () => {
  const toolbox = await startToolbox();
  const peer = await start(toolbox, { code: 'import time\nfor i in range(20):\n  print("x" * 1000)\n  time.sleep(0.02)\ndone = True' });
  await sleep(150);
  peer.socket.terminate();
  expect((await execute(toolbox, 'print(done)')).stdout).toBe('True\n');
});

test('deleting a context ends its interpreter and all it runs', async () => {
  const toolbox = await startToolbox();
  const { id } = (await toolbox.post('/process/interpreter/context', {})).json;
  const running = await start(toolbox, { contextId: id, code: 'import os\nos.system("sleep 5432")' });
  const alive = async (): Promise<string> => (await toolbox.exec('pgrep -fc "^sleep 5432" || true')).json.result;
  await eventually(async () => (await alive()) === '1\n');
  const waiting = await start(toolbox, { contextId: id, code: '1' });
  await sleep(50);
  await toolbox.send('DELETE', `/process/interpreter/context/${id}`);
  expect((await running.closed()).code).toBe(1001);
  expect(await waiting.closed()).toEqual({ code: 1008, reason: `context not found: ${id}` });
  await eventually(async () => (await alive()) === '0\n');
});

test('a client that reads nothing is closed with 1008; the code goes on', async () => {
  const toolbox = await startToolbox();
  const stuck = await start(toolbox, { code: 'for i in range(300000): print("x" * 99)\ndone = True' });
  stuck.socket.pause();
  expect((await execute(toolbox, 'print(done)')).stdout).toBe('True\n');
  stuck.socket.resume();
  expect((await stuck.closed()).code).toBe(1008);
});

test('a source does not outlive the toolbox that runs it', async () => {
  const toolbox = await startToolbox();
  const peer = await start(toolbox, { code: 'import os\nprint(os.getpid())\nwhile True: pass' });
  await eventually(() => peer.texts.length > 0);
  const pid = Number(peer.texts[0].text);
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  await toolbox.stop('SIGKILL');
  await eventually(() => !existsSync(`/proc/${pid}`));
});
