import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('sessions by the Python SDK: state, input, split logs as a stream, the end of a shell', async ({ skip }) => {
  const seen = {
    twice: 'DaytonaConflictError', kept: [3, 'f1\n/tmp\n', 'oops\n'], running: null, stream: ['hello Ann\n', 'done\n'], finished: 0,
    logs: ['hello Ann\n', 'done\n'], late_input: 'DaytonaCommandAlreadyCompletedError', long: 2_200_006, commands: ['s', 4], listed: ['s'],
    unknown_command: 'DaytonaProcessNotFoundError', exit: 7, ended: 'DaytonaSessionEndedError', gone: 'DaytonaProcessNotFoundError',
  };
  expect(await drive('sessions.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
