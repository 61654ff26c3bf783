import { describe, expect, test } from 'vitest';
import { SDKS, withSandbox } from './support.ts';

describe.each(SDKS)('process with %s', (_name, sdk) => {
  test('exit codes, both streams, cwd, env, multi-line scripts and big output', async () => {
    await withSandbox(sdk, {}, async ({ process: run }) => {
      expect(await run.executeCommand('exit 42')).toMatchObject({ exitCode: 42, result: '' });
      expect((await run.executeCommand('echo out; echo err >&2')).result).toBe('out\nerr\n');
      expect((await run.executeCommand('pwd', '/tmp')).result).toBe('/tmp\n');
      expect((await run.executeCommand('echo "$A|$B"', undefined, { A: '1 2', B: `it's "q" $x` })).result).toBe(`1 2|it's "q" $x\n`);
      expect((await run.executeCommand('for i in 1 2 3\ndo\n  echo $i\ndone')).result).toBe('1\n2\n3\n');
      expect(await run.executeCommand('true', '/does/not/exist')).toMatchObject({ exitCode: -1 });
      const big = await run.executeCommand('head -c 20000000 /dev/zero | tr "\\0" x');
      expect(big.result.length).toBe(20_000_000);
    });
  });

  test('the sandbox user is daytona with sudo without a password', async () => {
    await withSandbox(sdk, {}, async ({ process: run }) => {
      expect((await run.executeCommand('whoami; sudo -n whoami; echo $HOME; hostname')).result).toMatch(/^daytona\nroot\n\/home\/daytona\n/);
    });
  });

  test('the tools the default image promises are there', async () => {
    await withSandbox(sdk, {}, async ({ process: run }) => {
      const tools = await run.executeCommand('for t in bash python3 pip git rg curl tini sudo; do command -v $t >/dev/null && echo -n "$t "; done');
      expect(tools.result.trim().split(' ')).toEqual(['bash', 'python3', 'pip', 'git', 'rg', 'curl', 'tini', 'sudo']);
    });
  });

  test('twenty commands at once do not mix', async () => {
    await withSandbox(sdk, {}, async ({ process: run }) => {
      const results = await Promise.all(Array.from({ length: 20 }, (_, i) => run.executeCommand(`sleep 0.1; echo ${i}`)));
      expect(results.map((r) => r.result)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}\n`));
    });
  });
});

describe.each(SDKS)('code-run with %s', (_name, sdk) => {
  test('python: output, exit code, traceback, argv and env', async () => {
    await withSandbox(sdk, { language: 'python' }, async ({ process: run }) => {
      expect(await run.codeRun('import sys\nprint(sum(range(10)))\nsys.exit(3)')).toMatchObject({ exitCode: 3, result: '45\n' });
      const failed = await run.codeRun('def f():\n  raise ValueError("boom")\nf()');
      expect(failed.exitCode).toBe(1);
      expect(failed.result).toContain('ValueError: boom');
      const args = await run.codeRun('import sys,os\nprint(sys.argv[1:], os.environ["K"])', { argv: ['a b', '$HOME'], env: { K: 'v' } });
      expect(args.result).toBe("['a b', '$HOME'] v\n");
    });
  });

  test('javascript runs on an image without node', async () => {
    await withSandbox(sdk, { language: 'javascript' }, async ({ process: run }) => {
      const done = await run.codeRun('const os = require("node:os");\nconsole.log([1,2,3].map((x) => x * 2).join(), typeof os.cpus);\nprocess.exit(5)');
      expect(done).toMatchObject({ exitCode: 5, result: '2,4,6 function\n' });
      expect((await run.codeRun('console.log(process.argv.slice(1))', { argv: ['one', 'two'] })).result).toMatch(/'one', 'two'/);
    });
  });

  test('typescript runs, enums included, and a thrown error is exit code 1', async () => {
    await withSandbox(sdk, { language: 'typescript' }, async ({ process: run }) => {
      const done = await run.codeRun('enum Color { Red = 3 }\ninterface P { x: number }\nconst p: P = { x: Color.Red };\nconsole.log(p.x as number);');
      expect(done).toMatchObject({ exitCode: 0, result: '3\n' });
      const failed = await run.codeRun('throw new Error("no" as string)');
      expect(failed.exitCode).toBe(1);
      expect(failed.result).toContain('Error: no');
    });
  });

  test('a run that takes too long is a timeout error', async () => {
    await withSandbox(sdk, {}, async ({ process: run }) => {
      await expect(run.codeRun('import time\ntime.sleep(60)', undefined, 1)).rejects.toBeInstanceOf(sdk.DaytonaTimeoutError);
    });
  });
});
