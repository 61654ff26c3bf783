import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startToolbox, type Toolbox } from './toolbox.ts';

const run = async (toolbox: Toolbox, language: string, code: string, more: object = {}) => (await toolbox.post('/process/code-run', { language, code, ...more })).json;

test('python: output, exit code, arguments and no standard input', async () => {
  const toolbox = await startToolbox();
  expect(await run(toolbox, 'python', 'import sys\nprint(sys.argv, repr(sys.stdin.read()))', { argv: ['a b', '$HOME', '*'] })).toEqual({ exitCode: 0, result: "['-', 'a b', '$HOME', '*'] ''\n" });
  expect((await run(toolbox, 'python', 'raise SystemExit(4)')).exitCode).toBe(4);
  const failed = await run(toolbox, 'python', '\n\n1/0');
  expect(failed.exitCode).toBe(1);
  expect(failed.result).toMatch(/^Traceback[^]*File "<stdin>", line 3[^]*ZeroDivisionError/);
});

test('python killed by a signal is 128 and the signal', async () => {
  const toolbox = await startToolbox();
  expect((await run(toolbox, 'python', 'import os\nos.kill(os.getpid(), 9)')).exitCode).toBe(137);
});

test('an image without python says so', async () => {
  const toolbox = await startToolbox({ env: { PATH: '/nonexistent' } });
  expect(await run(toolbox, 'python', 'print(1)')).toEqual({ exitCode: 127, result: 'python3: command not found\n' });
});

test.each(['javascript', 'typescript'])('%s: CommonJS and ES modules, arguments, exit code, line numbers', async (language) => {
  const toolbox = await startToolbox();
  expect(await run(toolbox, language, 'const os = require("os"); console.log(os.EOL.length, process.argv.slice(1))', { argv: ['a b', "'"] })).toEqual({ exitCode: 0, result: `1 [ 'a b', "'" ]\n` });
  expect(await run(toolbox, language, 'import os from "node:os";\nconst { EOL } = require("os");\nawait null; console.log(os.EOL === EOL)')).toEqual({ exitCode: 0, result: 'true\n' });
  expect((await run(toolbox, language, 'process.exit(6)')).exitCode).toBe(6);
  const failed = await run(toolbox, language, '\n\nthrow new Error("here")');
  expect([failed.exitCode, failed.result]).toEqual([1, expect.stringMatching(/:3\b[^]*Error: here/)]);
});

test('javascript runs without any node in the image', async () => {
  const toolbox = await startToolbox({ env: { PATH: '/nonexistent' } });
  expect(await run(toolbox, 'javascript', '#!/usr/bin/env node\nconsole.log(1 + 1)')).toEqual({ exitCode: 0, result: '2\n' });
  expect(await run(toolbox, 'javascript', '"use strict"; console.log((function () { return this === undefined })())')).toEqual({ exitCode: 0, result: 'true\n' });
});

test('typescript: types, enums, namespaces, parameter properties, import = require', async () => {
  const toolbox = await startToolbox();
  const code = `import os = require('os');
enum Colour { Red = 1, Green }
namespace N { export const x: number = 40 }
class P { constructor(readonly y: number) {} }
const sum: number = N.x + Colour.Green as number;
console.log(sum, new P(3).y, os.EOL.length);`;
  expect(await run(toolbox, 'typescript', code)).toEqual({ exitCode: 0, result: '42 3 1\n' });
});

test('nothing is left in the work dir or in /tmp', async () => {
  const toolbox = await startToolbox({ env: { TMPDIR: '/nonexistent' } });
  await run(toolbox, 'typescript', 'console.log(1 as number)');
  await run(toolbox, 'python', 'print(1)');
  expect(readdirSync(toolbox.dir)).toEqual([]);
});

test('variables of the request reach the program', async () => {
  const toolbox = await startToolbox();
  expect((await run(toolbox, 'python', 'import os; print(os.environ["A"])', { envs: { A: 'x y' } })).result).toBe('x y\n');
});

test.each([{ language: 'ruby', code: 'x' }, { language: 'Python', code: 'x' }, { language: 'constructor', code: 'x' }, { code: 'x' }, { language: 'python' }, { language: 'python', code: '' }, { language: 'python', code: 'x', argv: [1] }, { language: 'python', code: 'x', argv: ['a\0'] }])('%j is refused', async (body) => {
  const toolbox = await startToolbox();
  const reply = await toolbox.post('/process/code-run', body);
  expect([reply.status, reply.json.code]).toEqual([400, 'INVALID_REQUEST_BODY']);
});
