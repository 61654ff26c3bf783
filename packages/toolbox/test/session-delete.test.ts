import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually, startToolbox } from './toolbox.ts';
import { newSession } from './session-support.ts';

test('deletion ends the whole process tree at once when it obeys', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  await session.start('echo $$ > pids; sleep 1001 & echo $! >> pids; (sh -c "echo \\$\\$ >> pids; sleep 1002; true") & setsid sh -c "echo \\$\\$ >> pids; sleep 1003; true" & sleep 0.1; sleep 1004');
  await eventually(() => existsSync(join(toolbox.dir, 'pids')) && readFileSync(join(toolbox.dir, 'pids'), 'utf8').split('\n').length === 5);
  await new Promise((resolve) => setTimeout(resolve, 150));
  const before = Date.now();
  expect((await session.delete()).status).toBe(204);
  expect(Date.now() - before).toBeLessThan(1000);
  for (const pid of readFileSync(join(toolbox.dir, 'pids'), 'utf8').trim().split('\n')) expect([pid, existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))]).toEqual([pid, false]);
  expect((await toolbox.get('/process/session/s')).status).toBe(404);
  expect((await toolbox.get('/process/session')).json).toEqual([]);
});

test('what ignores SIGTERM is killed within six seconds, and a waiting caller gets an answer', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const waiting = session.exec('trap "" TERM; echo $BASHPID > pid; while :; do sleep 1; done');
  await eventually(() => existsSync(join(toolbox.dir, 'pid')));
  const behind = session.exec('echo never');
  const before = Date.now();
  const [first, second] = await Promise.all([session.delete(), session.delete()]);
  expect([first.status, second.status]).toEqual([204, 204]);
  expect(Date.now() - before).toBeGreaterThan(4500);
  expect(Date.now() - before).toBeLessThan(6000);
  expect(existsSync(`/proc/${readFileSync(join(toolbox.dir, 'pid'), 'utf8').trim()}`)).toBe(false);
  expect((await waiting).status === 410 || (await waiting).json.exitCode === 137).toBe(true);
  expect((await behind).status === 410 || (await behind).json.exitCode === 129).toBe(true);
}, 15_000);

test('what a session that has ended left running is ended by its deletion', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  await session.run('sleep 1005 & echo $! > pid; exit 0');
  const pid = readFileSync(join(toolbox.dir, 'pid'), 'utf8').trim();
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  expect((await session.delete()).status).toBe(204);
  await eventually(() => !existsSync(`/proc/${pid}`));
});
