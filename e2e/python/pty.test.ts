import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('terminals by the Python SDK: variables, sizes, two clients, exit codes, kill', async ({ skip }) => {
  const seen = {
    connected: true, shown: [true, true, true], resized: [40, 120], listed: [['p', true, '/tmp', 40, 120]], info: 'p', twice: 'DaytonaConflictError',
    exit: 5, disconnected: false, gone: 'DaytonaNotFoundError', clean: [0, null], killed: 137, none_left: [], resize_unknown: 'DaytonaGoneError',
  };
  expect(await drive('pty.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
