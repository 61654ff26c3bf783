import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually, startToolbox } from './toolbox.ts';

test('exit codes are told, not errors', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.exec('exit 42')).json).toEqual({ exitCode: 42, result: '' });
  expect((await toolbox.exec('kill -9 $$')).json).toEqual({ exitCode: -1, result: '' });
  expect((await toolbox.exec("sh -c 'kill -15 $$'")).json.exitCode).toBe(143);
  expect((await toolbox.exec('no-such-program')).json).toEqual({ exitCode: 127, result: expect.stringContaining('not found') });
});

test('stdout and stderr come in the order they were written, newlines kept', async () => {
  const toolbox = await startToolbox();
  const { json } = await toolbox.exec('for i in 1 2 3; do echo out$i; echo err$i >&2; done');
  expect(json.result).toBe('out1\nerr1\nout2\nerr2\nout3\nerr3\n');
});

test('stdout and stderr can be opened by their names in /dev', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.exec('echo a > /dev/stderr; echo b > /dev/stdout; echo c | tee /dev/stderr > /dev/null')).json.result).toBe('a\nb\nc\n');
});

test('the shell is no login shell and reads no rc files', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('echo "echo from bashrc" > .bashrc; cp .bashrc .profile; cp .bashrc .bash_profile');
  expect((await toolbox.exec('echo only', { envs: { SHLVL: '0' } })).json.result).toBe('only\n');
});

test('the command is the standard input: what it reads is the rest of it', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.exec('read line\nthe rest\necho got $line')).json.result).toBe('got the rest\n');
  expect((await toolbox.exec('cat\neverything else')).json.result).toBe('everything else\n');
});

test('a command of several megabytes works', async () => {
  const toolbox = await startToolbox();
  const text = 'x'.repeat(3 * 1024 * 1024);
  expect((await toolbox.exec(`cat <<'END' | wc -c\n${text}\nEND`)).json.result.trim()).toBe(String(text.length + 1));
});

test('relative directories begin at the work dir', async () => {
  const toolbox = await startToolbox();
  mkdirSync(join(toolbox.dir, 'sub'));
  expect((await toolbox.exec('pwd', { cwd: 'sub' })).json.result).toBe(`${toolbox.dir}/sub\n`);
  expect((await toolbox.exec('pwd')).json.result).toBe(`${toolbox.dir}\n`);
  expect((await toolbox.exec('pwd', { cwd: '/' })).json.result).toBe('/\n');
});

test('a directory that is missing, no directory or closed is exit code -1', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('touch file; mkdir closed');
  chmodSync(join(toolbox.dir, 'closed'), 0);
  expect((await toolbox.exec('true', { cwd: 'missing' })).json).toEqual({ exitCode: -1, result: `chdir ${toolbox.dir}/missing: no such file or directory` });
  expect((await toolbox.exec('true', { cwd: 'file' })).json).toEqual({ exitCode: -1, result: expect.stringContaining('not a directory') });
  expect((await toolbox.exec('true', { cwd: 'closed' })).json).toEqual({ exitCode: -1, result: expect.stringContaining('permission denied') });
});

test('variables beyond what the kernel takes are exit code -1', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.exec('true', { envs: { BIG: 'x'.repeat(3 * 1024 * 1024) } })).json).toEqual({ exitCode: -1, result: expect.stringContaining('argument list too long') });
});

test('output that is no UTF-8 becomes replacement characters', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.exec("printf 'a\\377b\\000c'")).json.result).toBe('a\ufffdb\0c');
});

test('the reply waits for background processes that hold the output', async () => {
  const toolbox = await startToolbox();
  const before = Date.now();
  expect((await toolbox.exec('(sleep 0.4; echo late) & echo early')).json.result).toBe('early\nlate\n');
  expect(Date.now() - before).toBeGreaterThan(380);
  const then = Date.now();
  await toolbox.exec('sleep 5 > /dev/null 2>&1 &');
  expect(Date.now() - then).toBeLessThan(2000);
});

test('many commands at once all end well, and pipes are used again', async () => {
  const toolbox = await startToolbox();
  for (let round = 0; round < 3; round++) {
    const replies = await Promise.all(Array.from({ length: 60 }, (_, at) => toolbox.exec(`echo ${at}; sleep 0.05; exit ${at % 7}`)));
    expect(replies.map(({ json }) => json)).toEqual(replies.map((_, at) => ({ exitCode: at % 7, result: `${at}\n` })));
  }
  const pipes = await toolbox.exec(`ls /dev/shm/.paddock-pipes-${toolbox.child.pid} | wc -l`);
  expect(Number(pipes.json.result)).toBeLessThanOrEqual(72);
});

test('commands still run when somebody has cleared /dev/shm', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec(`rm -rf /dev/shm/.paddock-pipes-${toolbox.child.pid}`);
  expect((await toolbox.exec('echo fine > /dev/stderr')).json.result).toBe('fine\n');
});

test('descriptors are given back', async () => {
  const toolbox = await startToolbox();
  const count = async () => Number((await toolbox.exec(`ls -l /proc/${toolbox.child.pid}/fd | grep -vc socket:`)).json.result);
  await toolbox.exec('true');
  const before = await count();
  await Promise.all(Array.from({ length: 30 }, () => toolbox.exec('echo x')));
  await toolbox.exec('sleep 5', { timeout: 0.05 });
  await toolbox.exec('true', { cwd: '/missing' });
  await eventually(async () => (await count()) <= before);
});
