import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OPTIONS, openSsh, program, until, type Ssh } from './support.ts';

let ssh: Ssh;
beforeAll(async () => { ssh = await openSsh(); });
afterAll(() => ssh.close());

test('a command runs as the sandbox user, with its two outputs and its exit status', async () => {
  expect(await ssh.run([], 'id -un; echo wrong >&2; exit 7')).toMatchObject({ code: 7, out: 'daytona\n', err: expect.stringContaining('wrong\n') });
});

test('a shell without a terminal reads its commands from the input', async () => {
  expect((await ssh.run(['-T'], undefined, 'cd /tmp\npwd\nexit 3\n'))).toMatchObject({ code: 3, out: expect.stringContaining('/tmp\n') });
});

test('bytes go both ways unchanged and the end of input is passed on', async () => {
  const bytes = randomBytes(5_000_000);
  expect((await ssh.run([], 'cat', bytes)).bytes.equals(bytes)).toBe(true);
});

test('a terminal has the size of the client\'s and follows it', async () => {
  const remote = 'stty size; trap "stty size" WINCH; i=0; while [ $i -lt 30 ]; do sleep 0.1; i=$((i+1)); done';
  const line = `stty rows 40 cols 100; (sleep 1; stty rows 50 cols 120 </dev/tty) & ssh ${OPTIONS.map(quote).join(' ')} -tt -p ${ssh.port} ${ssh.target} ${quote(remote)}`;
  const { ended } = program('script', ['-qec', line, '/dev/null'], { ...process.env, SHELL: '/bin/sh' });
  expect((await ended).out.replaceAll('\r', '').split('\n')).toEqual(expect.arrayContaining(['40 100', '50 120']));
});

test('a login shell on a terminal', async () => {
  const run = ssh.start(['-tt']);
  run.child.stdin.write('echo tty-$(tty | cut -c1-8)-$TERM; exit 5\n');
  const { code, out } = await run.ended;
  expect([code, out]).toEqual([5, expect.stringContaining('tty-/dev/pts')]);
});

test('ssh ends when its program is killed by a signal, and Ctrl-C reaches a program on a terminal', async () => {
  expect((await ssh.run([], 'kill -TERM $$')).code).not.toBe(0);
  const run = ssh.start(['-tt'], 'trap "echo caught; exit 9" INT; echo ready; sleep 30');
  await until(() => run.out().includes('ready'), 'the program runs');
  run.child.stdin.write('\u0003');
  expect(await run.ended).toMatchObject({ code: 9, out: expect.stringContaining('caught') });
});

test('scp there and back', async () => {
  const [from, back] = [join(ssh.scratch, 'from'), join(ssh.scratch, 'back')];
  writeFileSync(from, randomBytes(3_000_000));
  const scp = (a: string, b: string) => program('scp', [...OPTIONS, '-q', '-P', ssh.port, a, b]).ended;
  expect(await scp(from, `${ssh.target}:/tmp/there`)).toMatchObject({ code: 0 });
  expect(await scp(`${ssh.target}:/tmp/there`, back)).toMatchObject({ code: 0 });
  expect(readFileSync(back).equals(readFileSync(from))).toBe(true);
});

test('rsync there, changed, and back', async () => {
  const [from, back] = [join(ssh.scratch, 'tree'), join(ssh.scratch, 'tree-back')];
  mkdirSync(join(from, 'sub'), { recursive: true });
  writeFileSync(join(from, 'sub/a'), randomBytes(200_000));
  writeFileSync(join(from, 'b'), 'first');
  const rsync = (a: string, b: string) => program('rsync', ['-a', '--delete', '-e', ['ssh', ...OPTIONS, '-p', ssh.port].join(' '), a, b]).ended;
  expect(await rsync(`${from}/`, `${ssh.target}:/tmp/tree/`)).toMatchObject({ code: 0 });
  writeFileSync(join(from, 'b'), 'second');
  expect(await rsync(`${from}/`, `${ssh.target}:/tmp/tree/`)).toMatchObject({ code: 0 });
  expect(await rsync(`${ssh.target}:/tmp/tree/`, `${back}/`)).toMatchObject({ code: 0 });
  expect(readFileSync(join(back, 'b'), 'utf8')).toBe('second');
  expect(readFileSync(join(back, 'sub/a')).equals(readFileSync(join(from, 'sub/a')))).toBe(true);
});

test('sftp', async () => {
  const file = join(ssh.scratch, 'sftp-file');
  writeFileSync(file, 'by sftp');
  const batch = join(ssh.scratch, 'batch');
  writeFileSync(batch, `mkdir /tmp/dir\nput ${file} /tmp/dir/a\nrename /tmp/dir/a /tmp/dir/b\nchmod 600 /tmp/dir/b\nls -l /tmp/dir\nget /tmp/dir/b ${file}.back\nrm /tmp/dir/b\nrmdir /tmp/dir\n`);
  const { code, out } = await program('sftp', [...OPTIONS, '-P', ssh.port, '-b', batch, ssh.target]).ended;
  expect([code, out]).toEqual([0, expect.stringMatching(/-rw-------.*\bb\n/)]);
  expect(readFileSync(`${file}.back`, 'utf8')).toBe('by sftp');
});

test('one connection carries several sessions (ControlMaster)', async () => {
  const control = join(ssh.scratch, 'control');
  const master = ssh.start(['-M', '-N', '-S', control]);
  await until(async () => (await ssh.run(['-S', control, '-O', 'check'])).code === 0, 'the master is up');
  const results = await Promise.all(Array.from({ length: 8 }, (_, i) => ssh.run(['-S', control], `echo ${i}`)));
  expect(results.map(({ out }) => out.trim())).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  await ssh.run(['-S', control, '-O', 'exit']);
  await master.ended;
});

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
