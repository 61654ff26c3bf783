import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('the interpreter by the Python SDK: state, streams, errors, contexts, the time limit', async ({ skip }) => {
  const seen = {
    first: ['out 20\n', 'err\n', null, 'out 20\n', 'err\n'], kept: '21\n', failed: ['before\n', 'ZeroDivisionError', 'division by zero', true, 'ZeroDivisionError'],
    syntax: 'SyntaxError', input: 'EOFError', envs: 'ä\n', subprocess: 'child\n', unicode: true, context: ['python', '/tmp', true], own: '/tmp False\n', listed: [true],
    timeout: 'DaytonaTimeoutError', deleted: 'DaytonaConnectionError', twice: 'DaytonaNotFoundError', still: '20\n',
  };
  expect(await drive('interpreter.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
