import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { startToolbox } from './toolbox.ts';
import { newSession } from './session-support.ts';

/** Larger than any pid of Linux: a toolbox that is gone. */
const NOBODY = 4_194_305;

test('what a toolbox of another user left behind keeps nobody from commands and sessions', async () => {
  const left = ['pipes', 'sessions'].map((kind) => `/dev/shm/.paddock-${kind}-${NOBODY}`);
  onTestFinished(() => left.forEach((dir) => rmSync(dir, { recursive: true, force: true })));
  for (const dir of left) {
    mkdirSync(dir, { mode: 0o700 });
    writeFileSync(`${dir}/0`, '');
  }
  const toolbox = await startToolbox({ uid: 1234 });
  expect((await toolbox.exec('test -p /dev/stdout && echo pipe')).json).toEqual({ exitCode: 0, result: 'pipe\n' });
  expect(await (await newSession(toolbox)).run('echo works')).toMatchObject({ stdout: 'works\n', exitCode: 0 });
});
