import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import http from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { buildToolbox } from '../build.ts';
import { listeningSocket } from './listening-socket.ts';
import { eventually } from './toolbox.ts';

test('a toolbox that is killed comes back on the same socket with the same variables, goes on with the entrypoint and ends the sessions', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paddock-toolbox-'));
  const script = await buildToolbox(dir);
  const socketPath = join(dir, 'sock');
  const fd = listeningSocket(socketPath);
  const env = { PATH: process.env['PATH'], HOME: dir, PADDOCK_LISTEN_FD: '3', PADDOCK_TOOLBOX_PORT: '0' };
  const pids: number[] = [];
  const children: ChildProcess[] = [];
  const start = () => {
    const child = spawn(process.execPath, [script], { cwd: dir, env, stdio: ['ignore', 'inherit', 'inherit', fd] });
    pids.push(child.pid!);
    children.push(child);
    return child;
  };
  const call = (method: string, path: string, body?: object) => new Promise<any>((resolve, reject) => {
    const text = JSON.stringify(body ?? {});
    const request = http.request({ socketPath, path, method, agent: false, headers: { 'Content-Length': Buffer.byteLength(text), 'X-Daytona-SDK-Version': '1.0.0' } }, async (response) => {
      let reply = '';
      for await (const chunk of response) reply += chunk;
      resolve(reply === '' ? null : JSON.parse(reply));
    });
    request.on('error', reject);
    request.end(text);
  });
  const post = (path: string, body: object) => call('POST', path, body);
  onTestFinished(() => {
    for (const child of children) child.kill('SIGKILL');
    closeSync(fd);
    rmSync(dir, { recursive: true, force: true });
    rmSync('/dev/shm/.paddock-toolbox-0.json', { force: true });
    for (const pid of pids) for (const kind of ['pipes', 'sessions']) rmSync(`/dev/shm/.paddock-${kind}-${pid}`, { recursive: true, force: true });
  });
  rmSync('/dev/shm/.paddock-toolbox-0.json', { force: true });

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
