import { type ErrorCode, fail, ToolboxError } from '../errors.ts';
import { type Credentials, redacted } from './credentials.ts';
import type { GitResult } from './git.ts';

/**
 * What git says → what it means to a client. First match wins, so that the reason stands before its consequences. Lines that the
 * remote wrote are not looked at.
 */
const MEANINGS: readonly (readonly [RegExp, ErrorCode])[] = [
  [/Authentication failed for|could not read (Username|Password)|returned error: 401|Permission denied \(|HTTP Basic: Access denied/, 'GIT_AUTH_FAILED'],
  [/returned error: 403/, 'FORBIDDEN'],
  [/^ ! \[remote rejected\]/m, 'GIT_REMOTE_REJECTED'],
  [/^ ! \[rejected\]/m, 'GIT_PUSH_REJECTED'],
  [/^CONFLICT \(|^Automatic merge failed|unmerged files|resolve your current index first|not concluded your merge|needs merge$|unresolved conflict|is unmerged$|in the middle of a merge|during a merge/m, 'GIT_MERGE_CONFLICT'],
  [/would be overwritten by|Please commit your changes or stash them|not uptodate\. Cannot merge|would be removed by (checkout|merge)|contains uncommitted changes/, 'GIT_DIRTY_WORKTREE'],
  [/a branch named '.*' already exists/i, 'GIT_BRANCH_EXISTS'],
  [/Remote branch .* not found in upstream|couldn't find remote ref|remote ref does not exist|invalid reference: |^error: branch '.*' not found|src refspec .* does not match any|unknown revision or path|Failed to resolve '.*' as a valid|could not resolve |bad (revision|object)|reference is not a tree|unable to read tree|not our ref|Needed a single revision|not a valid object name|cannot be resolved to branch|is not a commit and a branch/m, 'GIT_BRANCH_NOT_FOUND'],
  [/not a git repository|does not appear to be a git repository|^fatal: repository '.*' (not found|does not exist)|returned error: 404|ERROR: Repository not found|No such remote|is this a git repository|this operation must be run in a work tree/m, 'GIT_REPO_NOT_FOUND'],
  [/\.lock': File exists|cannot lock ref|already exists and is not an empty directory|remote .* already exists|cannot delete branch|already exists, can't|is already (checked out|used by worktree)/i, 'CONFLICT'],
  [/unable to find remote helper|transport '.*' not allowed/i, 'BAD_REQUEST'],
  [/unable to access '|Could not resolve host|Connection (refused|reset|timed out|closed)|RPC failed|early EOF|hung up unexpectedly|unexpected disconnect|Could not read from remote repository|Host key verification failed|Operation too slow|unable to (look up|connect)|Network is unreachable|protocol error|bad line length|invalid server response|remote helper .* (aborted|died)|index-pack (died|failed)|fetch-pack/, 'GIT_TRANSPORT_FAILED'],
  [/Permission denied|Operation not permitted|Read-only file system|dubious ownership/, 'FILE_ACCESS_DENIED'],
];

/** The class words that messages have carried from the first servers on. */
const WORDS: Partial<Record<ErrorCode, string>> = {
  GIT_AUTH_FAILED: 'unauthorized: ', FORBIDDEN: 'forbidden: ', FILE_ACCESS_DENIED: 'forbidden: ',
  GIT_REPO_NOT_FOUND: 'not found: ', GIT_BRANCH_NOT_FOUND: 'not found: ',
  GIT_BRANCH_EXISTS: 'conflict: ', GIT_PUSH_REJECTED: 'conflict: ', GIT_DIRTY_WORKTREE: 'conflict: ', GIT_MERGE_CONFLICT: 'conflict: ', CONFLICT: 'conflict: ',
  BAD_REQUEST: 'bad request: ',
};

/** Longest message. The whole of what git said rarely has more than ten lines. */
const MAX_MESSAGE = 4_000;

/** What a run of git that failed is to the client. Whatever the table does not know was brought about by the request or the repository: 400. */
export function failureOf(result: GitResult, credentials: Credentials | null): ToolboxError {
  if (result.signal !== null) return fail('INTERNAL_SERVER_ERROR', `internal server error: git was ended by ${result.signal}`);
  const said = `${result.stderr}\n${result.stdout.slice(-MAX_MESSAGE)}`;
  const own = said.split('\n').filter((line) => !line.startsWith('remote: ')).join('\n');
  const code = MEANINGS.find(([pattern]) => pattern.test(own))?.[1] ?? 'BAD_REQUEST';
  return fail(code, `${WORDS[code] ?? ''}${redacted(essence(said), credentials) || `git ended with exit code ${result.exitCode}`}`);
}

/** What was said without advice and without progress. */
function essence(said: string): string {
  const lines = said
    .split('\n')
    .map((line) => line.slice(line.lastIndexOf('\r', line.length - 2) + 1).trimEnd())
    .filter((line) => line !== '' && !/^(hint:|Cloning into |To |From )/.test(line));
  return lines.join('\n').slice(0, MAX_MESSAGE);
}
