import { expect, test } from 'vitest';
import { startToolbox, type Toolbox } from './toolbox.ts';

const envOf = async (toolbox: Toolbox): Promise<Record<string, string>> => {
  const { result } = (await toolbox.exec('env -0')).json as { result: string };
  return Object.fromEntries(result.split('\0').filter(Boolean).map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
};

test('what the engine tells the toolbox does not reach the user', async () => {
  const toolbox = await startToolbox({ env: { PADDOCK_MEMORY_BYTES: '1', PADDOCK_USER_NODE_OPTIONS: '--no-warnings', IMAGE: 'kept' } });
  const env = await envOf(toolbox);
  expect(Object.keys(env).filter((name) => name.startsWith('PADDOCK_') || name.startsWith('MALLOC_'))).toEqual([]);
  expect(env).toMatchObject({ IMAGE: 'kept', NODE_OPTIONS: '--no-warnings' });
});

test('an init replaces the variables of the one before', async () => {
  const toolbox = await startToolbox({ env: { BASE: 'image' } });
  await toolbox.post('/init', { token: 't', env: { A: '1', B: '2', BASE: 'sandbox' } });
  expect(await envOf(toolbox)).toMatchObject({ A: '1', B: '2', BASE: 'sandbox' });
  await toolbox.post('/init', { token: 't', env: { B: '3' } });
  const env = await envOf(toolbox);
  expect(env).toMatchObject({ B: '3', BASE: 'image' });
  expect(env['A']).toBeUndefined();
});

test('an init with a token alone leaves the variables alone', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/init', { env: { A: '1' } });
  await toolbox.post('/init', { token: 'renewed' });
  expect((await envOf(toolbox))['A']).toBe('1');
});

test('/env unsets, then drops by value prefix, then sets', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/init', { env: { GONE: 'x', OLD: 'dtn_secret_1', KEPT: 'dtn_secret_2', OTHER: 'o' } });
  const reply = await toolbox.post('/env', { set: { KEPT: 'dtn_secret_3', NEW: 'n' }, unset: ['GONE'], unsetValuePrefix: 'dtn_secret_' });
  expect([reply.status, typeof reply.json.message]).toEqual([200, 'string']);
  const env = await envOf(toolbox);
  expect(env).toMatchObject({ KEPT: 'dtn_secret_3', NEW: 'n', OTHER: 'o' });
  expect([env['GONE'], env['OLD']]).toEqual([undefined, undefined]);
});

test('a variable of the request wins over all', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/init', { env: { A: '1' } });
  expect((await toolbox.exec('echo $A', { envs: { A: 'mine' } })).json.result).toBe('mine\n');
  expect((await toolbox.exec('echo $A')).json.result).toBe('1\n');
});

test.each([{ 'A-B': 'x' }, { '1A': 'x' }, { '': 'x' }, { A: 1 }, { A: 'a\0b' }])('variables %j are refused', async (envs) => {
  const toolbox = await startToolbox();
  for (const reply of [await toolbox.exec('true', { envs }), await toolbox.post('/env', { set: envs }), await toolbox.post('/init', { env: envs })]) {
    expect([reply.status, reply.json.code]).toEqual([400, 'INVALID_REQUEST_BODY']);
  }
});
