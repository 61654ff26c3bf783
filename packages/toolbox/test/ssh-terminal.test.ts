import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { exec, finish, open, shell, sshClient, watch } from './ssh-client.ts';
import { eventually, startToolbox } from './toolbox.ts';

test('gives an interactive login shell on a terminal that follows its window', async () => {
  const client = await sshClient(await startToolbox());
  const channel = await shell(client, { term: 'vt100', cols: 91, rows: 33 });
  const output = watch(channel);
  channel.write('shopt -q login_shell && echo "log""in"; echo "$TERM:$(stty size)"\n');
  await output.until(/vt100:33 91/);
  await output.until(/login\r\n/);
  channel.write(`sh -c 'trap "stty size; exit" WINCH; echo re""ady; while :; do sleep 0.1; done'\n`);
  await output.until(/ready/);
  channel.setWindow(40, 120, 0, 0);
  await output.until(/40 120/);
  const end = finish(channel);
  channel.write('exit 9\n');
  expect((await end).code).toBe(9);
});

test('runs a command on a terminal', async () => {
  const client = await sshClient(await startToolbox());
  const ended = await exec(client, 'test -t 0 && test -t 1 && echo yes; echo err >&2; exit 5', { pty: true });
  expect([ended.stdout.toString(), ended.stderr.toString(), ended.code]).toEqual(['yes\r\nerr\r\n', '', 5]);
});

test('delivers a large output of a terminal to a slow reader', async () => {
  const client = await sshClient(await startToolbox());
  const channel = await open(client, 'stty -opost; head -c 10000000 /dev/zero', { pty: true });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect((await finish(channel)).stdout.length).toBe(10_000_000);
}, 30_000);

test('interrupts the foreground by key and by signal', async () => {
  const client = await sshClient(await startToolbox());
  const channel = await shell(client, {});
  const output = watch(channel);
  channel.write('echo re""ady; sleep 100; echo "code=$?"\n');
  await output.until(/ready/);
  await new Promise((resolve) => setTimeout(resolve, 100));
  channel.write('\x03');
  channel.write('echo re""ady2; sleep 100; echo "code=$?"\n');
  await output.until(/ready2/);
  await new Promise((resolve) => setTimeout(resolve, 100));
  channel.signal('TERM');
  await output.until(/code=143/);
});

test('hangs up when the client is lost', async () => {
  const client = await sshClient(await startToolbox());
  const channel = await shell(client, {});
  const output = watch(channel);
  channel.write('echo "pid=$$"; sleep 100\n');
  const pid = (await output.until(/pid=(\d+)/))[1];
  client.destroy();
  await eventually(() => !existsSync(`/proc/${pid}`), 5000);
});

test('hangs up when only the channel closes', async () => {
  const client = await sshClient(await startToolbox());
  const channel = await shell(client, {});
  const output = watch(channel);
  channel.write('echo "pid=$$"; trap "" HUP; sleep 100\n');
  const pid = (await output.until(/pid=(\d+)/))[1];
  const closed = once(channel, 'close');
  channel.close();
  await closed;
  // A shell that ignores SIGHUP has been told to live on.
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  await exec(client, `pkill -9 -s ${pid}`);
  expect((await exec(client, 'echo still')).stdout.toString()).toBe('still\n');
});
