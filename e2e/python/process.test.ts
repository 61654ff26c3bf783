import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('commands and code by the Python SDK: variables, arguments, time limits, metrics', async ({ skip }) => {
  // The SDK hands on what its generated client raises when code takes too long.
  const seen = {
    exec: [4, '/tmp\nä b\nerr\n', true], exec_timeout: 'DaytonaProcessExecutionTimeoutError', no_directory: null, code: [3, '[\'x y\'] 1\n'],
    code_timeout: 'ApiException', charts: 'none', env: 'yes\n', unset: '[]\n', metrics: [1, true, true],
  };
  expect(await drive('process.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
