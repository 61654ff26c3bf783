import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('files by the Python SDK: streams, several at once, search, replace, permissions', async ({ skip }) => {
  const seen = {
    dirs: ['/home/daytona', '/home/daytona'], local: 'from a file', sent: 5_000_000, received: 5_000_000, several: [['d/one', 'one', true], ['d/none', null, false]],
    listed: [['one', false, 3], ['stream', false, 5_000_000], ['é 2', false, 11]], info: [true, '0750', '1000', '1000'], mode: '0600', found: [['d/one', 1, 'one']],
    matched: ['d/one'], replaced: [['d/one', true]], moved: 'two', move_unknown: 'DaytonaFileNotFoundError', delete_full: 'DaytonaBadRequestError',
    forbidden: 'DaytonaError', deleted: 'DaytonaFileNotFoundError',
  };
  expect(await drive('files.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
