import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('language servers by the Python SDK: symbols, completions, start, stop', async ({ skip }) => {
  const seen = {
    python: {
      early: 'DaytonaLspServerNotInitializedError', document: ['Answer', 'give'], project: [['Answer', 'a.py']], completes: true, at_the_start: true, late: 'DaytonaLspServerNotInitializedError',
    },
    typescript: {
      early: 'DaytonaLspServerNotInitializedError', document: ['Answer', 'give'], project: [['Answer', 'a.ts']], completes: true, at_the_start: true, late: 'DaytonaLspServerNotInitializedError',
    },
  };
  expect(await drive('lsp.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
