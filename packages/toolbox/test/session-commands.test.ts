import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually, startToolbox } from './toolbox.ts';
import { newSession } from './session-support.ts';

test('directory, variables, functions and options stay from command to command', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  expect(await session.exec('pwd')).toMatchObject({ status: 200 });
  expect(await session.run('pwd')).toEqual({ cmdId: expect.any(String), exitCode: 0, output: `\x01\x01\x01${toolbox.dir}\n`, stdout: `${toolbox.dir}\n`, stderr: '' });
  await session.run('cd /usr; export A=1; b() { echo "b$A"; }; set -o pipefail; set -- x y');
  expect(await session.run('b; pwd; echo $#; false | true')).toMatchObject({ exitCode: 1, stdout: 'b1\n/usr\n2\n' });
});

test('every exit code is known, whatever the command is', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  expect(await session.run('(exit 7)')).toMatchObject({ exitCode: 7, output: '', stdout: '', stderr: '' });
  expect((await session.run('if then')).exitCode).toBe(2);
  expect((await session.run("sh -c 'kill -9 $$'")).exitCode).toBe(137);
  expect(await session.run('no-such-program')).toMatchObject({ exitCode: 127, stderr: expect.stringContaining('no-such-program') });
  expect((await session.run('exit 1 2')).stderr).toContain('too many arguments');
  expect((await session.run('echo ${1+x}${!}${a b}')).exitCode).toBeGreaterThan(0);
  expect((await session.run('return 5')).exitCode).toBe(5);
  expect((await session.run('break; continue; true')).exitCode).toBe(0);
  expect((await session.run('exec 1>&- 2>&-; false')).exitCode).toBe(1);
  expect((await session.run('printf() { :; }; echo() { :; }; builtin printf ok')).stdout).toBe('ok');
  expect((await session.run('set -Cux; IFS=0123456789; true')).exitCode).toBe(0);
  expect((await session.run('# nothing but a comment')).exitCode).toBe(0);
  expect((await session.run('cat <<END\nno end')).stdout).toBe('no end\n');
});

test.each([
  ['exit 3', 3], ['set -e; false; echo not reached', 1], ['exec sh -c "exit 4"', 4], ['kill -9 $$', 137], ['trap "exit 9" TERM; kill $$; sleep 5', 9],
])('a command that ends the shell has its exit code, and the session has ended: %s', async (command, exitCode) => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const ending = session.exec(`echo before; ${command}`);
  const behind = session.exec('echo too late', { runAsync: true });
  expect((await ending).json).toMatchObject({ exitCode, stdout: 'before\n' });
  const cmdId = (await behind).json.cmdId;
  if ((await behind).status === 202) {
    expect(await session.exitCode(cmdId)).toBe(129);
    expect((await session.get(`/command/${cmdId}/logs`)).json.stderr).toContain('ended before');
  }
  expect((await session.exec('true')).json).toMatchObject({ statusCode: 410, code: 'SESSION_ENDED', message: expect.stringContaining(`code ${exitCode}`) });
  expect((await session.get('')).json.commands[0]).toMatchObject({ command: `echo before; ${command}`, exitCode });
  expect((await toolbox.post('/process/session', { sessionId: session.id })).status).toBe(409);
  expect((await session.delete()).status).toBe(204);
  expect((await toolbox.post('/process/session', { sessionId: session.id })).status).toBe(201);
});

test('NUL and other bytes survive, text that is no UTF-8 becomes replacement characters', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  expect((await session.run("printf 'a\\0b\\377c\\001\\n'")).stdout).toBe('a\0b\ufffdc\x01\n');
  // A character that is written byte by byte, with the other stream in between.
  expect(await session.run("printf '\\342'; sleep 0.1; echo e >&2; printf '\\202'; sleep 0.1; printf '\\254'")).toMatchObject({ stdout: '€', stderr: 'e\n' });
  expect((await session.run("printf '\\342'")).stdout).toBe('\ufffd');
});

test('commands run one after the other, in the order they came', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const first = await session.start('sleep 0.3; echo 1 >> order');
  const second = await session.start('echo 2 >> order');
  expect(await session.exitCode(second)).toBeUndefined();
  expect((await session.run('echo 3 >> order; cat order')).stdout).toBe('1\n2\n3\n');
  expect([await session.exitCode(first), await session.exitCode(second)]).toEqual([0, 0]);
  expect((await session.get('')).json.commands.map(({ command }: { command: string }) => command)).toEqual(['sleep 0.3; echo 1 >> order', 'echo 2 >> order', 'echo 3 >> order; cat order']);
});

test('a background process that holds the output does not keep its command from completing, and is still heard', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const before = Date.now();
  const reply = await session.run('(sleep 1; echo late) & echo early');
  expect(reply).toMatchObject({ exitCode: 0, stdout: 'early\n' });
  expect(Date.now() - before).toBeLessThan(900);
  // The reader of a process substitution is waited for.
  expect((await session.run('echo through > >(sleep 0.05; cat)')).stdout).toBe('through\n');
  expect((await session.run('jobs | wc -l; wait; echo waited')).stdout).toMatch(/^\s*\d+\nwaited\n$/);
  await eventually(async () => (await session.get(`/command/${reply.cmdId}/logs`)).json.stdout === 'early\nlate\n');
});

test('standard input is at its end for a command that is waited for', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  expect((await session.run('cat; read x; echo $?')).stdout).toBe('1\n');
});

test('a prompt shows at once, and its answer is echoed unless that is suppressed', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const loud = await session.start('printf "Name? "; read name; echo "Hello $name"');
  await eventually(async () => (await session.get(`/command/${loud}/logs`)).json.stdout === 'Name? ');
  expect((await session.input(loud, 'Ada')).status).toBe(204);
  await eventually(async () => (await session.exitCode(loud)) === 0);
  expect((await session.get(`/command/${loud}/logs`)).json.stdout).toBe('Name? Ada\nHello Ada\n');
  const quiet = await session.start('read name; read other; echo "Hello $name $other"', { suppressInputEcho: true });
  await session.input(quiet, 'Bob\nEve\n');
  await eventually(async () => (await session.exitCode(quiet)) === 0);
  expect((await session.get(`/command/${quiet}/logs`)).json.stdout).toBe('Hello Bob Eve\n');
});

test('input to what does not take any more is refused', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('read a; echo got $a');
  expect((await session.input(command, '')).status).toBe(400);
  expect((await session.input('unknown', 'x')).status).toBe(404);
  await session.input(command, 'x');
  await eventually(async () => (await session.exitCode(command)) === 0);
  expect((await session.input(command, 'y')).json).toMatchObject({ statusCode: 410, code: 'COMMAND_ALREADY_COMPLETED' });
  const sleeping = await session.start('sleep 0.5');
  // More than a pipe holds, to a command that reads nothing.
  const pending = session.input(sleeping, 'x'.repeat(300_000));
  expect((await pending).json).toMatchObject({ statusCode: 410, code: 'COMMAND_ALREADY_COMPLETED' });
  const last = await session.start('exit 0');
  await eventually(async () => (await session.exitCode(last)) === 0);
  expect((await session.input(last, 'z')).json).toMatchObject({ statusCode: 410, code: 'SESSION_ENDED' });
});

test('input of any size arrives whole', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const command = await session.start('head -c 1000000 | md5sum', { suppressInputEcho: true });
  const text = Array.from({ length: 125_000 }, (_, at) => String(at).padStart(7, '0')).join('\n');
  expect((await session.input(command, text.slice(0, 999_999))).status).toBe(204);
  await eventually(async () => (await session.exitCode(command)) === 0);
  const { createHash } = await import('node:crypto');
  expect((await session.get(`/command/${command}/logs`)).json.stdout).toContain(createHash('md5').update(`${text.slice(0, 999_999)}\n`).digest('hex'));
});

test('bad ids and bodies are refused', async () => {
  const toolbox = await startToolbox();
  for (const sessionId of ['', '..', 'a/b', 'a\0b', '../x', '\ud800', 'x'.repeat(256), 5, null]) expect([sessionId, (await toolbox.post('/process/session', { sessionId })).status]).toEqual([sessionId, 400]);
  const session = await newSession(toolbox, 'ü ?#%s');
  expect((await session.run('echo ok')).stdout).toBe('ok\n');
  expect((await toolbox.post('/process/session', { sessionId: 'ü ?#%s' })).status).toBe(409);
  for (const body of [{ command: '' }, {}, { command: 'a\0b' }, { command: 'true', runAsync: 'yes' }]) expect((await toolbox.post(`/process/session/${encodeURIComponent(session.id)}/exec`, body)).status).toBe(400);
  expect((await toolbox.post('/process/session/unknown/exec', { command: 'true' })).json).toMatchObject({ statusCode: 404, source: 'DAYTONA_DAEMON' });
  expect((await toolbox.get('/process/session/unknown')).status).toBe(404);
  expect((await toolbox.send('DELETE', '/process/session/unknown')).status).toBe(404);
  expect((await session.get('/command/unknown')).status).toBe(404);
  expect((await session.get('/command/unknown/logs')).status).toBe(404);
  expect((await toolbox.get('/process/session')).json).toEqual([{ sessionId: 'ü ?#%s', commands: [expect.objectContaining({ command: 'echo ok', exitCode: 0 })] }]);
});

test('a session has the variables and the directory of its start', async () => {
  const toolbox = await startToolbox({ env: { HOME: '/usr' } });
  await toolbox.post('/env', { set: { A: 'first' } });
  const session = await newSession(toolbox);
  await toolbox.post('/env', { set: { A: 'second' } });
  expect((await session.run('echo $A; env | grep -c ^PADDOCK_')).stdout).toBe('first\n0\n');
  await toolbox.post('/process/session', { sessionId: 'old' }, { 'X-Daytona-SDK-Version': '0.102.0' });
  expect((await toolbox.post('/process/session/old/exec', { command: 'pwd' })).json.output).toBe('/usr\n');
});

test('a long command works, and its text does not stay on disk', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const text = 'x'.repeat(3 * 1024 * 1024);
  expect((await session.run(`wc -c <<'END'\n${text}\nEND`)).stdout.trim()).toBe(String(text.length + 1));
  expect(existsSync(`/dev/shm/.paddock-sessions-${toolbox.child.pid}/1.sh`)).toBe(false);
});

test('a session goes on when somebody has cleared /dev/shm', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  await session.run(`rm -rf /dev/shm/.paddock-*-${toolbox.child.pid}`);
  expect((await session.run('echo fine')).stdout).toBe('fine\n');
  expect((await session.delete()).status).toBe(204);
});

test('the command of a client that went away goes on', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const body = JSON.stringify({ command: 'sleep 0.3; echo done > done' });
  const { connect } = await import('node:net');
  const socket = connect(toolbox.socketPath, () => socket.write(`POST /process/session/s/exec HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
  await eventually(async () => (await session.get('')).json.commands.length === 1);
  socket.destroy();
  await eventually(() => existsSync(join(toolbox.dir, 'done')) && readFileSync(join(toolbox.dir, 'done'), 'utf8') === 'done\n');
});
