import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startRig } from './restart-rig.ts';
import { eventually } from './toolbox.ts';
import { connect } from './websocket.ts';

test('a toolbox that is killed comes back on the same socket with the same variables, goes on with the entrypoint and ends the sessions', async () => {
  const { dir, start, call, post } = await startRig();
  const first = start();
  const entrypoint = ['sh', '-c', 'echo started >> started; while sleep 0.05; do echo tick; test ! -e stop || exit 0; done'];
  await post('/init', { env: { A: 'kept', B: 'b' }, entrypoint });
  await post('/env', { set: { C: 'edited' }, unset: ['B'] });
  await post('/process/session', { sessionId: 'before' });
  await post('/process/session/before/exec', { command: 'echo $$ > shell; sleep 1000', runAsync: true });
  await eventually(() => existsSync(join(dir, 'shell')) && existsSync(join(dir, 'started')));
  first.kill('SIGKILL');
  await once(first, 'exit');
  const pending = post('/process/execute', { command: 'echo $A,$B,$C' });
  const second = start();
  expect(await pending).toEqual({ exitCode: 0, result: 'kept,,edited\n' });
  await post('/init', { entrypoint });
  // The entrypoint goes on and is read by the new toolbox; the session has ended, its processes too, and it says so.
  await eventually(async () => (await call('GET', '/process/session/entrypoint/logs')).stdout?.includes('tick'));
  expect((await call('GET', '/process/session/entrypoint/logs')).stderr).toContain('restarted');
  expect(await call('GET', '/process/session/entrypoint')).toEqual({ sessionId: 'entrypoint', commands: [{ id: 'entrypoint_command', command: expect.stringContaining("'sh' '-c'") }] });
  expect(readFileSync(join(dir, 'started'), 'utf8')).toBe('started\n');
  expect(await post('/process/session/before/exec', { command: 'true' })).toMatchObject({ statusCode: 410, code: 'SESSION_ENDED', message: expect.stringContaining('restarted') });
  await eventually(() => !existsSync(`/proc/${readFileSync(join(dir, 'shell'), 'utf8').trim()}`));
  writeFileSync(join(dir, 'stop'), '');
  await eventually(async () => (await call('GET', '/process/session/entrypoint')).commands[0].exitCode === -1);
  expect(readdirSync('/dev/shm')).not.toContain(`.paddock-pipes-${first.pid}`);
  second.kill('SIGTERM');
  await once(second, 'exit');
  expect(readdirSync('/dev/shm')).not.toContain(`.paddock-pipes-${second.pid}`);
});

test('terminals of a toolbox that is killed are reported ended, also by the one after the next, and their programs end', async () => {
  const { dir, socketPath, start, call, post } = await startRig();
  const connectTo = (id: string) => connect({ socketPath }, `/process/pty/${id}/connect`);
  const kill = async (toolbox: ChildProcess): Promise<void> => {
    toolbox.kill('SIGKILL');
    await once(toolbox, 'exit');
  };
  const first = start();
  for (const body of [{ id: 'one', envs: { A: 'b' }, cols: 100 }, { id: 'two' }, { id: 'three' }, { id: 'over' }, { id: 'lazy', lazyStart: true }]) await post('/process/pty', body);
  await call('DELETE', '/process/pty/over');
  const peer = await connectTo('one');
  peer.socket.send('trap "" HUP; echo $$ > program; sleep 1000 & echo $! > job; wait\r');
  await eventually(() => existsSync(join(dir, 'job')) && readFileSync(join(dir, 'job'), 'utf8') !== '');
  const before = (await call('GET', '/process/pty')).sessions as { id: string; active: boolean }[];
  expect(before.map(({ id }) => id)).toEqual(['one', 'two', 'three', 'lazy']);
  await kill(first);
  const second = start();
  const ended = (await call('GET', '/process/pty')).sessions as { id: string; active: boolean }[];
  const byId = <T extends { id: string }>(list: readonly T[]): T[] => [...list].sort((a, b) => (a.id < b.id ? -1 : 1));
  expect(byId(ended)).toEqual(byId(before).map((session) => ({ ...session, active: false })));
  const pids = ['program', 'job'].map((name) => readFileSync(join(dir, name), 'utf8').trim());
  await eventually(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), 10_000);
  const gone = { statusCode: 410, code: 'GONE', message: expect.stringContaining('restarted') };
  expect(await call('GET', '/process/pty/one')).toMatchObject(gone);
  expect(await post('/process/pty/lazy/resize', { cols: 80, rows: 24 })).toMatchObject({ statusCode: 410 });
  const again = await connectTo('one');
  expect(await again.closed()).toEqual({ code: 1011, reason: '{"exitCode":129,"exitReason":"the toolbox was restarted"}' });
  expect(again.texts).toEqual([{ type: 'control', status: 'error', error: expect.stringContaining('restarted') }]);
  // Its id is free for another, and who deletes it has read the news.
  expect(await post('/process/pty', { id: 'two' })).toEqual({ sessionId: 'two' });
  expect((await call('GET', '/process/pty/two')).active).toBe(true);
  expect(await call('DELETE', '/process/pty/three')).toEqual({ message: 'PTY session deleted' });
  expect((await call('GET', '/process/pty/three')).statusCode).toBe(404);
  await kill(second);
  start();
  const stillEnded = (await call('GET', '/process/pty')).sessions as { id: string; active: boolean }[];
  expect(byId(stillEnded).map(({ id, active }) => [id, active])).toEqual([['lazy', false], ['one', false], ['two', false]]);
});
