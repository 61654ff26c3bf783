import { expect, test } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from './python.ts';

test('git by the Python SDK: credentials, branches, push, pull, errors', async ({ skip }) => {
  const seen = {
    server: '', no_login: 'DaytonaGitAuthFailedError', status: ['main', true, 0, 0, []], config: ['Ann', null], untracked: [['new.txt', 'Untracked', 'Untracked']],
    commit: 40, pushed: 'Add newAnn\n', pulled: 'hello\nmore\n', branches: ['main', 'topic'], dirty: 'DaytonaGitDirtyWorktreeError', no_branch: 'DaytonaGitBranchNotFoundError',
    restored: 'hello\nmore\n', reset: [], remotes: [['origin', 'http://localhost:8418/a.git'], ['second', 'http://localhost:1/b.git']], remote: ['http://localhost:1/b.git', null],
    unreachable: 'DaytonaGitTransportFailedError', exists: 'DaytonaGitBranchExistsError', unborn: 'trunk', no_repository: 'DaytonaGitRepoNotFoundError', secrets: '',
  };
  expect(await drive('git.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
