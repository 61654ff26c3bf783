import { expect, test } from 'vitest';
import { eventually, startToolbox, type Toolbox } from './toolbox.ts';

const NEW = { 'X-Daytona-SDK-Version': '0.216.0' };
const logs = async (toolbox: Toolbox) => (await toolbox.get('/process/session/entrypoint/logs', NEW)).json;

test('the entrypoint is started once, in the work dir, with the variables of the init; its output and exit code are kept', async () => {
  const toolbox = await startToolbox();
  const entrypoint = ['sh', '-c', 'echo "$A $PWD it\'s"; echo problem >&2; exit 3'];
  await toolbox.post('/init', { token: 't', env: { A: 'from init' }, entrypoint });
  await toolbox.post('/init', { token: 't', env: { A: 'again' }, entrypoint });
  await eventually(async () => (await toolbox.get('/process/session/entrypoint')).json.commands?.[0].exitCode === 3);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await logs(toolbox)).toEqual({ output: expect.stringContaining('problem'), stdout: `from init ${toolbox.dir} it's\n`, stderr: 'problem\n' });
  expect((await toolbox.get('/process/session/entrypoint')).json).toEqual({
    sessionId: 'entrypoint',
    commands: [{ id: 'entrypoint_command', command: `'sh' '-c' 'echo "$A $PWD it'\\''s"; echo problem >&2; exit 3'`, exitCode: 3 }],
  });
  expect((await toolbox.get('/process/session/entrypoint/logs')).text).toMatch(/^\x01\x01\x01from init [^]*\x02\x02\x02problem\n$/);
  expect((await toolbox.get('/process/session/entrypoint/command/entrypoint_command')).json).toMatchObject({ id: 'entrypoint_command', exitCode: 3 });
  expect((await toolbox.get('/process/session/entrypoint/command/entrypoint_command/logs', NEW)).json.stderr).toBe('problem\n');
});

test('an entrypoint that does not exist leaves the toolbox running and says why it did not start', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.post('/init', { entrypoint: ['/no/such/program'] })).status).toBe(200);
  await eventually(async () => (await logs(toolbox)).stderr?.includes('/no/such/program'));
  expect((await toolbox.get('/process/session/entrypoint')).json.commands[0].exitCode).toBe(127);
});

test('a sandbox without an entrypoint has no such session', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.get('/process/session/entrypoint')).status).toBe(404);
  expect((await toolbox.get('/process/session/entrypoint/logs')).json).toMatchObject({ statusCode: 404, source: 'DAYTONA_DAEMON' });
});

test('the session of the entrypoint is reserved: it is not listed and can only be read', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/init', { entrypoint: ['sleep', `1000.${process.pid}`] });
  await eventually(async () => (await toolbox.get('/process/session/entrypoint')).status === 200);
  expect((await toolbox.get('/process/session')).json).toEqual([]);
  expect((await toolbox.post('/process/session', { sessionId: 'entrypoint' })).status).toBe(400);
  expect((await toolbox.post('/process/session/entrypoint/exec', { command: 'true' })).status).toBe(400);
  expect((await toolbox.post('/process/session/entrypoint/command/entrypoint_command/input', { data: 'x' })).status).toBe(400);
  expect((await toolbox.send('DELETE', '/process/session/entrypoint')).status).toBe(400);
  const pid = (await toolbox.exec(`pgrep -f '^sleep 1000.${process.pid}$'`)).json.result.trim();
  await toolbox.exec(`kill -9 ${pid}`);
  await eventually(async () => (await toolbox.get('/process/session/entrypoint')).json.commands[0].exitCode === 137);
});
