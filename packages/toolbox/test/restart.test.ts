import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import http from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { buildToolbox } from '../build.ts';
import { listeningSocket } from './listening-socket.ts';
import { eventually } from './toolbox.ts';

test('a toolbox that is killed comes back on the same socket with the same variables, and starts no entrypoint twice', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paddock-toolbox-'));
  const script = await buildToolbox(dir);
  const socketPath = join(dir, 'sock');
  const fd = listeningSocket(socketPath);
  const env = { PATH: process.env['PATH'], HOME: dir, PADDOCK_LISTEN_FD: '3', PADDOCK_TOOLBOX_PORT: '0' };
  const pids: number[] = [];
  const start = () => {
    const child = spawn(process.execPath, [script], { cwd: dir, env, stdio: ['ignore', 'inherit', 'inherit', fd] });
    pids.push(child.pid!);
    return child;
  };
  const post = (path: string, body: object) => new Promise<any>((resolve, reject) => {
    const text = JSON.stringify(body);
    const request = http.request({ socketPath, path, method: 'POST', agent: false, headers: { 'Content-Length': Buffer.byteLength(text) } }, async (response) => {
      let reply = '';
      for await (const chunk of response) reply += chunk;
      resolve(JSON.parse(reply));
    });
    request.on('error', reject);
    request.end(text);
  });
  onTestFinished(() => {
    closeSync(fd);
    rmSync(dir, { recursive: true, force: true });
    rmSync('/dev/shm/.paddock-toolbox-0.json', { force: true });
    for (const pid of pids) rmSync(`/dev/shm/.paddock-pipes-${pid}`, { recursive: true, force: true });
  });
  rmSync('/dev/shm/.paddock-toolbox-0.json', { force: true });

  const first = start();
  const entrypoint = ['sh', '-c', 'echo started'];
  await post('/init', { env: { A: 'kept', B: 'b' }, entrypoint });
  await post('/env', { set: { C: 'edited' }, unset: ['B'] });
  await eventually(() => existsSync(`/dev/shm/.paddock-pipes-${first.pid}/0`));
  first.kill('SIGKILL');
  await once(first, 'exit');
  const pending = post('/process/execute', { command: 'echo $A,$B,$C' });
  const second = start();
  expect(await pending).toEqual({ exitCode: 0, result: 'kept,,edited\n' });
  await post('/init', { entrypoint });
  expect(readFileSync(join(dir, '.daytona/entrypoint.log'), 'utf8')).toBe('started\n');
  expect(readdirSync('/dev/shm')).not.toContain(`.paddock-pipes-${first.pid}`);
  second.kill('SIGTERM');
  await once(second, 'exit');
  expect(readdirSync('/dev/shm')).not.toContain(`.paddock-pipes-${second.pid}`);
});
