import { expect, test } from 'vitest';
import * as sdk from '@daytona/sdk';
import { withSandbox } from '../sdk/support.ts';

test('a fork bomb stops at the process limit and the neighbours keep answering', async () => {
  await withSandbox(sdk, {}, async (bomb) => {
    await withSandbox(sdk, {}, async (neighbour) => {
      const run = bomb.process.executeCommand('f() { f | f & }; f; sleep 3', undefined, undefined, 5).catch(() => null);
      for (let i = 0; i < 5; i += 1) expect((await neighbour.process.executeCommand('echo ok')).result).toBe('ok\n');
      await run;
      expect((await neighbour.process.executeCommand('echo still')).result).toBe('still\n');
    });
    await bomb.stop(60, true);
    expect(bomb.state).toBe('stopped');
  });
});

test('a memory bomb is killed alone: the sandbox or its process dies, never the host or a neighbour', async () => {
  await withSandbox(sdk, {}, async (neighbour) => {
    await withSandbox(sdk, {}, async (bomb) => {
      const done = await bomb.process.executeCommand(`python3 -c "x = bytearray(3 << 30)"`).catch((error: unknown) => error as Error);
      if (!(done instanceof Error)) expect(done.exitCode).not.toBe(0);
      expect((await neighbour.process.executeCommand('echo ok')).result).toBe('ok\n');
    });
  });
});

test('many small files hit the quota too and can be removed again', async () => {
  await withSandbox(sdk, {}, async (sandbox) => {
    const done = await sandbox.process.executeCommand(
      `mkdir many && cd many && python3 -c "
import os
n = 0
try:
  while n < 300000:
    open('f%d' % n, 'w').write('x' * 16384)
    n += 1
except OSError as e:
  print('stopped', e.errno)
"; cd .. && rm -rf many && echo removed`, undefined, undefined, 300);
    expect(done.result).toMatch(/stopped (122|28)\nremoved/);
  });
}, 320_000);
