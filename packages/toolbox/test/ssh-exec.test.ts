import { once } from 'node:events';
import http from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exec, finish, open, shell, sshClient, watch } from './ssh-client.ts';
import { eventually, startToolbox } from './toolbox.ts';

test('runs a command: both outputs apart, its exit code, its input', async () => {
  const toolbox = await startToolbox();
  const client = await sshClient(toolbox);
  const both = await exec(client, 'echo out; echo err >&2; pwd; exit 7');
  expect([both.stdout.toString(), both.stderr.toString(), both.code]).toEqual([`out\n${toolbox.dir}\n`, 'err\n', 7]);
  expect((await exec(client, 'tr a-z A-Z', {}, 'hello')).stdout.toString()).toBe('HELLO');
  expect((await exec(client, 'echo x > /dev/stderr; cat /dev/stdin', {}, 'in')).stdout.toString()).toBe('in');
  const killed = await exec(client, 'kill -TERM $$');
  expect([killed.code, killed.signal]).toEqual([null, 'SIGTERM']);
  expect((await exec(client, 'no-such-program')).code).toBe(127);
});

test('takes variables of the client, except those that describe a machine', async () => {
  const client = await sshClient(await startToolbox());
  const { stdout } = await exec(client, 'echo "$LC_ALL|$MINE|$LD_PRELOAD|$HOME"', { env: { LC_ALL: 'C.UTF-8', MINE: 'a b', LD_PRELOAD: '/x.so', HOME: '/elsewhere' } });
  expect(stdout.toString()).toMatch(/^C\.UTF-8\|a b\|\|\/tmp\/.*\n$/);
});

test('delivers large outputs of both kinds to a slow reader, each byte once', async () => {
  const toolbox = await startToolbox();
  const client = await sshClient(toolbox);
  const channel = await open(client, 'head -c 20000000 /dev/zero | tr "\\0" o & head -c 20000000 /dev/zero | tr "\\0" e >&2; wait');
  let [out, errors, wrong] = [0, 0, 0];
  const count = (stream: NodeJS.ReadableStream, letter: string, add: (bytes: number) => void): void => {
    stream.on('data', (chunk: Buffer) => {
      add(chunk.length);
      if (chunk.toString('latin1').replaceAll(letter, '') !== '') wrong++;
      stream.pause();
      setTimeout(() => stream.resume(), 1);
    });
  };
  await new Promise((resolve) => setTimeout(resolve, 300));
  count(channel, 'o', (bytes) => (out += bytes));
  count(channel.stderr, 'e', (bytes) => (errors += bytes));
  await Promise.all([once(channel, 'end'), once(channel.stderr, 'end')]);
  expect([out, errors, wrong]).toEqual([20_000_000, 20_000_000, 0]);
}, 60_000);

test('stops reading a program that nobody listens to', async () => {
  const toolbox = await startToolbox();
  const client = await sshClient(toolbox);
  const channel = await open(client, 'echo $$ > pid; head -c 1000000000 /dev/zero; touch done');
  channel.pause();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const rssKib = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${toolbox.child.pid}/status`, 'utf8'))![1]);
  expect(rssKib).toBeLessThan(150_000);
  expect(existsSync(join(toolbox.dir, 'done'))).toBe(false);
});

test('takes input faster than the program reads it', async () => {
  const client = await sshClient(await startToolbox());
  const { stdout } = await exec(client, 'sleep 0.3; wc -c', {}, Buffer.alloc(30_000_000));
  expect(stdout.toString().trim()).toBe('30000000');
  // A program that does not read at all.
  expect((await exec(client, 'exec 0<&-; sleep 0.1; echo ended', {}, Buffer.alloc(10_000_000))).stdout.toString()).toBe('ended\n');
});

test('passes signals to the whole group, also behind the end of input', async () => {
  const client = await sshClient(await startToolbox());
  const channel = await open(client, 'trap "echo got; exit 3" USR1; echo ready; while :; do sleep 0.05; done');
  const output = watch(channel);
  const end = finish(channel);
  channel.end();
  await output.until(/ready/);
  // The client's own method sends nothing behind the end of input.
  const inside = client as unknown as { _protocol: { signal(channel: number, name: string): void } };
  inside._protocol.signal((channel as unknown as { outgoing: { id: number } }).outgoing.id, 'USR1');
  expect((await end).code).toBe(3);
  expect(output.text()).toBe('ready\ngot\n');
});

test('closes when the outputs are let go of, not when background processes end', async () => {
  const client = await sshClient(await startToolbox());
  const start = Date.now();
  const ended = await exec(client, 'sleep 20 >/dev/null 2>&1 </dev/null & echo $!');
  expect(Date.now() - start).toBeLessThan(5000);
  process.kill(Number(ended.stdout), 'SIGKILL');
});

test('gives a login shell without a terminal', async () => {
  const client = await sshClient(await startToolbox());
  const channel = await shell(client, false);
  channel.end('shopt -q login_shell && echo login; test -t 0 || echo none; exit 4\n');
  const ended = await finish(channel);
  expect([ended.stdout.toString(), ended.code]).toEqual(['login\nnone\n', 4]);
});

test('ends what a lost client ran, and leaves what was detached', async () => {
  const toolbox = await startToolbox();
  const client = await sshClient(toolbox);
  await open(client, 'setsid sleep 30 & nohup sleep 31 >/dev/null 2>&1 & sleep 32 & trap "" USR1; echo $$ > leader; (trap "sleep 60" HUP; sleep 33) & wait');
  const lines = (): string[] => readFileSync(`/proc/${toolbox.child.pid}/task/${toolbox.child.pid}/children`, 'utf8').trim().split(' ');
  await eventually(() => existsSync(join(toolbox.dir, 'leader')) && lines().length > 0);
  const leader = Number(readFileSync(join(toolbox.dir, 'leader'), 'utf8'));
  const running = async (seconds: number): Promise<boolean> => (await toolbox.exec(`pgrep -f '^sleep ${seconds}$' || true`)).json.result.trim() !== '';
  for (const seconds of [30, 31, 32, 33]) await eventually(() => running(seconds));
  client.destroy();
  await eventually(() => !existsSync(`/proc/${leader}`));
  for (const seconds of [32, 33, 60]) await eventually(async () => !(await running(seconds)), 6000);
  expect([await running(30), await running(31)]).toEqual([true, true]);
  await toolbox.exec("pkill -f '^sleep 3[01]$'");
}, 20_000);

test('is not there for programs of the sandbox', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('true');
  const ask = async (options: http.RequestOptions): Promise<number | undefined> => {
    const request = http.request({ path: '/ssh', headers: { Connection: 'Upgrade', Upgrade: 'ssh' }, ...options }).end();
    return await new Promise((resolve, reject) => {
      request.once('response', (reply) => resolve(reply.resume().statusCode));
      request.once('upgrade', (reply, socket) => {
        socket.destroy();
        resolve(reply.statusCode);
      });
      request.once('error', reject);
    });
  };
  await eventually(() => ask({ host: '127.0.0.1', port: toolbox.port }).then(() => true, () => false));
  expect(await ask({ host: '127.0.0.1', port: toolbox.port })).toBe(404);
  expect(await ask({ socketPath: toolbox.socketPath })).toBe(101);
  expect((await toolbox.get('/ssh')).status).toBe(404);
  expect((await toolbox.get(`/proxy/${toolbox.port}/ssh`, { Connection: 'Upgrade', Upgrade: 'ssh' })).status).toBe(404);
});

test('refuses X11 and answers keepalives', async () => {
  const client = await sshClient(await startToolbox(), { keepaliveInterval: 20, keepaliveCountMax: 2 });
  await expect(open(client, 'true', { x11: true } as never)).rejects.toThrow();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect((await exec(client, 'echo alive')).stdout.toString()).toBe('alive\n');
});
