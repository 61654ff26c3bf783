import { describe, expect, test } from 'vitest';
import { SDKS, withSandbox } from './support.ts';

describe.each(SDKS)('code interpreter with %s', (_name, sdk) => {
  test('names persist, streams are apart, errors are values', async () => {
    await withSandbox(sdk, {}, async ({ codeInterpreter }) => {
      const seen: string[] = [];
      const first = await codeInterpreter.runCode('import sys\nx = 20\nprint("out", x)\nprint("err", file=sys.stderr)', {
        onStdout: ({ output }) => void seen.push(`out:${output}`), onStderr: ({ output }) => void seen.push(`err:${output}`),
      });
      expect(first).toEqual({ stdout: 'out 20\n', stderr: 'err\n' });
      expect(seen).toEqual(['out:out 20\n', 'err:err\n']);
      const failed = await codeInterpreter.runCode('print(x + 1)\n1 / 0');
      expect(failed.stdout).toBe('21\n');
      expect(failed.error).toMatchObject({ name: 'ZeroDivisionError', value: 'division by zero', traceback: expect.stringContaining('File "<stdin>", line 2') });
      expect((await codeInterpreter.runCode('import os, subprocess\nsubprocess.run(["id", "-un"])\nprint(os.environ["K"], os.getcwd())', { envs: { K: 'v' } })).stdout).toBe('daytona\nv /home/daytona\n');
    });
  });

  test('contexts: apart from each other, listed, deleted', async () => {
    await withSandbox(sdk, {}, async ({ codeInterpreter }) => {
      const [one, two] = await Promise.all([codeInterpreter.createContext('/tmp'), codeInterpreter.createContext()]);
      await codeInterpreter.runCode('x = 1', { context: one });
      const [a, b] = await Promise.all([
        codeInterpreter.runCode('import os\nprint(os.getcwd(), x)', { context: one }), codeInterpreter.runCode('print(x)', { context: two }),
      ]);
      expect(a.stdout).toBe('/tmp 1\n');
      expect(b.error?.name).toBe('NameError');
      expect((await codeInterpreter.listContexts()).map((context) => context.id).toSorted()).toEqual([one.id, two.id].toSorted());
      await codeInterpreter.deleteContext(one);
      await expect(codeInterpreter.runCode('1', { context: one })).rejects.toThrow(/context not found/);
      await expect(codeInterpreter.deleteContext(one)).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
    });
  });

  test('a time limit interrupts the run and leaves the names; what ignores it is a timeout error', async () => {
    await withSandbox(sdk, {}, async ({ codeInterpreter }) => {
      await codeInterpreter.runCode('import time\nkept = 7');
      const startedAt = Date.now();
      await codeInterpreter.runCode('time.sleep(60)', { timeout: 1 });
      expect(Date.now() - startedAt).toBeLessThan(5_000);
      expect((await codeInterpreter.runCode('print(kept)')).stdout).toBe('7\n');
      const stubborn = 'while True:\n  try:\n    while True: time.sleep(1)\n  except KeyboardInterrupt: pass';
      await expect(codeInterpreter.runCode(stubborn, { timeout: 1 })).rejects.toBeInstanceOf(sdk.DaytonaTimeoutError);
      expect((await codeInterpreter.runCode('print("kept" in globals())')).stdout).toBe('False\n');
    });
  });

  test('runs at once wait for each other', async () => {
    await withSandbox(sdk, {}, async ({ codeInterpreter }) => {
      await codeInterpreter.runCode('n = 0');
      const results = await Promise.all(Array.from({ length: 20 }, () => codeInterpreter.runCode('n += 1\nprint(n)')));
      expect(results.map(({ stdout }) => Number(stdout)).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
    });
  });
});
