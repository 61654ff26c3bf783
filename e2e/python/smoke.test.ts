import { expect, test } from 'vitest';
import { drive } from './python.ts';

test('the Python SDK, sync and async: lifecycle, code, files, errors', async ({ skip }) => {
  expect(await drive('smoke.py', skip)).toEqual({
    state: 'started', code: '42\n', exec: 3, download: 'hello', big: 3_000_000, files: ['a.txt'],
    missing_file: 'DaytonaFileNotFoundError', timeout: 'DaytonaProcessExecutionTimeoutError', stopped: 'stopped', kept: 'hello', preview: true,
    gone: 'DaytonaNotFoundError', async_code: '1\n', async_stopped: 'stopped',
  });
}, 300_000);
