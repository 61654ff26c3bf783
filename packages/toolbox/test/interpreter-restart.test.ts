import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { execute } from './interpreter-rig.ts';
import { startRig } from './restart-rig.ts';
import { eventually } from './toolbox.ts';

const CONTEXT = '/process/interpreter/context';
const LOST = 'the toolbox was restarted and the state of this context is lost; create a new one';

async function kill(toolbox: ChildProcess): Promise<void> {
  toolbox.kill('SIGKILL');
  await once(toolbox, 'exit');
}

test('contexts of a toolbox that is killed are reported lost, also by the one after the next, and what they ran ends', async () => {
  const rig = await startRig();
  const { dir, start, call, post } = rig;
  const first = start();
  const used = await post(CONTEXT, {});
  const idle = await post(CONTEXT, {});
  const deleted = await post(CONTEXT, {});
  await call('DELETE', `${CONTEXT}/${deleted.id}`);
  const background = (name: string): string => `import os, subprocess\nopen("${name}", "w").write(f"{os.getpid()} {subprocess.Popen(['sleep', '1000']).pid}")\nx = 1`;
  await execute(rig, background('named'), { contextId: used.id });
  await execute(rig, background('default'));
  const pids = ['named', 'default'].flatMap((name) => readFileSync(join(dir, name), 'utf8').split(' '));
  expect(pids.map((pid) => existsSync(`/proc/${pid}`))).toEqual([true, true, true, true]);
  await kill(first);
  const second = start();
  const contexts = async (): Promise<{ id: string }[]> => (await call('GET', CONTEXT)).contexts;
  const byId = <T extends { id: string }>(list: readonly T[]): T[] => [...list].sort((a, b) => (a.id < b.id ? -1 : 1));
  expect(byId(await contexts())).toEqual(byId([used, idle]).map((context) => ({ ...context, active: false })));
  await eventually(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), 10_000);
  for (const { id } of [used, idle]) {
    expect(await execute(rig, 'print(x)', { contextId: id })).toEqual({ stdout: '', stderr: '', error: { name: 'ContextLost', value: LOST, traceback: '' }, controls: [], types: ['error'], code: 1008, reason: LOST });
  }
  expect(await execute(rig, '1', { contextId: deleted.id })).toMatchObject({ error: null, code: 1008, reason: `context not found: ${deleted.id}` });
  // Who deletes it has read the news; others are made and used as ever.
  expect(await call('DELETE', `${CONTEXT}/${idle.id}`)).toEqual({ message: 'Context deleted' });
  expect((await call('DELETE', `${CONTEXT}/${idle.id}`)).statusCode).toBe(404);
  expect(await execute(rig, '1', { contextId: idle.id })).toMatchObject({ error: null, code: 1008, reason: `context not found: ${idle.id}` });
  const { id } = await post(CONTEXT, {});
  expect(await execute(rig, 'print("x" in globals())', { contextId: id })).toMatchObject({ stdout: 'False\n', stderr: '', code: 1000 });
  await kill(second);
  start();
  expect(byId(await contexts())).toMatchObject(byId([{ id: used.id, active: false }, { id, active: false }]));
});

test('the first run of the default context after a kill hears that what earlier ones defined is lost, the next hears nothing', async () => {
  const rig = await startRig();
  const first = rig.start();
  expect((await execute(rig, 'x = 1')).stderr).toBe('');
  await kill(first);
  const second = rig.start();
  // The news waits, even for the toolbox after the next, for somebody to hear it.
  expect((await rig.call('GET', CONTEXT)).contexts).toEqual([]);
  await kill(second);
  rig.start();
  expect(await execute(rig, 'print("x" in globals())')).toMatchObject({ stdout: 'False\n', stderr: expect.stringMatching(/^the toolbox was restarted: .* lost\n$/), error: null, controls: ['completed'], code: 1000 });
  expect(await execute(rig, 'print(1)')).toMatchObject({ stdout: '1\n', stderr: '', code: 1000 });
  expect((await rig.call('DELETE', `${CONTEXT}/default`)).statusCode).toBe(400);
});
