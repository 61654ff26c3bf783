import { readdirSync, readlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { eventually, startToolbox } from './toolbox.ts';
import { newSession } from './session-support.ts';

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return 'socket:gone';
  }
}

test('two hundred sessions at once all work, and nothing of them is left', async () => {
  const toolbox = await startToolbox();
  const fds = `/proc/${toolbox.child.pid}/fd`;
  // Connections are the client's affair.
  const descriptors = (): number => readdirSync(fds).filter((fd) => !linkOf(`${fds}/${fd}`).startsWith('socket:')).length;
  const first = await newSession(toolbox, 'warm-up');
  await first.run('true');
  await first.delete();
  const before = descriptors();
  const sessions = await Promise.all(Array.from({ length: 200 }, (_, at) => newSession(toolbox, `s${at}`)));
  for (let round = 0; round < 3; round++) {
    const replies = await Promise.all(sessions.map((session, at) => session.run(`N=$((N + ${at})); echo $N; echo e$N >&2; (exit ${at % 50})`)));
    expect(replies.map(({ stdout, stderr, exitCode }) => [stdout, stderr, exitCode])).toEqual(replies.map((_, at) => [`${at * (round + 1)}\n`, `e${at * (round + 1)}\n`, at % 50]));
  }
  expect((await toolbox.get('/process/session')).json).toHaveLength(200);
  const deleted = await Promise.all(sessions.map((session) => session.delete()));
  expect(deleted.every(({ status }) => status === 204)).toBe(true);
  expect((await toolbox.exec(`pgrep -P ${toolbox.child.pid} -c`)).json.result.trim()).toBe('1');
  await eventually(() => descriptors() <= before + 5);
}, 60_000);

test('a session takes commands from many callers at once and loses none', async () => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const replies = await Promise.all(Array.from({ length: 200 }, (_, at) => session.run(`echo ${at}`)));
  expect(replies.map(({ stdout }) => stdout)).toEqual(replies.map((_, at) => `${at}\n`));
});

test('two creations of one id at the same time make one session', async () => {
  const toolbox = await startToolbox();
  const replies = await Promise.all(Array.from({ length: 5 }, () => toolbox.post('/process/session', { sessionId: 'one' })));
  expect(replies.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409]);
});
