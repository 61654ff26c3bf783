import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('archive, resize and snapshots of a sandbox by the Python SDK', async ({ skip }) => {
  const seen = {
    archive_started: 'DaytonaBadRequestError', hot: ['started', 2, 2, 3], shrink: 'DaytonaBadRequestError', snapshotted: 'started', taken: 'DaytonaConflictError',
    copy: [true, 2, 'kept\n'], cold: ['stopped', 1, 1, 5], archived: 'archived', recover_archived: 'DaytonaBadRequestError', restored: ['started', 'kept\n0\n'],
  };
  expect(await drive('archive.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
