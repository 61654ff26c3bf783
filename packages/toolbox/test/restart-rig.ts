import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { buildToolbox } from '../build.ts';
import { listeningSocket } from './listening-socket.ts';

export interface Rig {
  readonly dir: string;
  readonly socketPath: string;
  start(): ChildProcess;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  call(method: string, path: string, body?: object): Promise<any>;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  post(path: string, body: object): Promise<any>;
}

/** Toolboxes one after the other on one socket, as the sandbox's init starts them. */
export async function startRig(): Promise<Rig> {
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
  return { dir, socketPath, start, call, post };
}
