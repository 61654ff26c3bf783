/**
 * Errors of the toolbox: one table of codes, one table of errno values, one class that travels to the edge.
 *
 * Wire: clients choose their exception by (`source`, `code`) first and by status second, and read `message`.
 */

/** Code → natural status. The first ten are generic, the others name a domain. `null`: the status has no code on the wire. */
export const ERROR_CODES = {
  BAD_REQUEST: 400,
  INVALID_REQUEST_BODY: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  REQUEST_TIMEOUT: 408,
  GONE: 410,
  UNPROCESSABLE_ENTITY: 422,
  INTERNAL_SERVER_ERROR: 500,
  FILE_NOT_FOUND: 404,
  FILE_ACCESS_DENIED: 403,
  INVALID_FILE_PATH: 400,
  FILE_READ_FAILED: 500,
  PROCESS_EXECUTION_TIMEOUT: 408,
  PROCESS_NOT_FOUND: 404,
  SESSION_ENDED: 410,
  COMMAND_ALREADY_COMPLETED: 410,
  GIT_AUTH_FAILED: 401,
  GIT_REPO_NOT_FOUND: 404,
  GIT_BRANCH_NOT_FOUND: 404,
  GIT_BRANCH_EXISTS: 409,
  GIT_PUSH_REJECTED: 409,
  GIT_DIRTY_WORKTREE: 409,
  GIT_MERGE_CONFLICT: 409,
  GIT_TRANSPORT_FAILED: 502,
  GIT_REMOTE_REJECTED: 422,
  LSP_SERVER_NOT_INITIALIZED: 400,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Facts added to an error body under `details`. Clients ignore unknown keys of errors. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

export class ToolboxError extends Error {
  readonly status: number;
  readonly code: ErrorCode | null;
  readonly details: ErrorDetails | null;

  constructor(status: number, code: ErrorCode | null, message: string, details: ErrorDetails | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/** An error of the code's natural status. */
export function fail(code: ErrorCode, message: string, details: ErrorDetails | null = null): ToolboxError {
  return new ToolboxError(ERROR_CODES[code], code, message, details);
}

export const badRequest = (message: string): ToolboxError => fail('BAD_REQUEST', `bad request: ${message}`);
export const badBody = (message: string): ToolboxError => fail('INVALID_REQUEST_BODY', `invalid body request: ${message}`);

/**
 * errno → code and words. Whatever the caller's path or the sandbox's own limits brought about is a 4xx: a full disk
 * included, because the routes that write declare 400 as their only failure and clients map it to a typed error.
 */
const ERRNO: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ['FILE_NOT_FOUND', 'file not found'],
  EACCES: ['FILE_ACCESS_DENIED', 'permission denied'],
  EPERM: ['FILE_ACCESS_DENIED', 'operation not permitted'],
  EROFS: ['FILE_ACCESS_DENIED', 'read-only file system'],
  EISDIR: ['BAD_REQUEST', 'is a directory'],
  ENOTDIR: ['BAD_REQUEST', 'not a directory'],
  ENOTEMPTY: ['BAD_REQUEST', 'directory not empty'],
  EEXIST: ['BAD_REQUEST', 'already exists'],
  ELOOP: ['BAD_REQUEST', 'too many levels of symbolic links'],
  ENAMETOOLONG: ['BAD_REQUEST', 'file name too long'],
  EINVAL: ['BAD_REQUEST', 'invalid argument'],
  EBUSY: ['BAD_REQUEST', 'resource busy'],
  ETXTBSY: ['BAD_REQUEST', 'text file busy'],
  EFBIG: ['BAD_REQUEST', 'file too large'],
  EMLINK: ['BAD_REQUEST', 'too many links'],
  ENXIO: ['BAD_REQUEST', 'no such device or address'],
  ENODEV: ['BAD_REQUEST', 'no such device'],
  ENOTSUP: ['BAD_REQUEST', 'operation not supported'],
  EOPNOTSUPP: ['BAD_REQUEST', 'operation not supported'],
  EAGAIN: ['BAD_REQUEST', 'resource temporarily unavailable'],
  EPIPE: ['BAD_REQUEST', 'broken pipe'],
  ENOSPC: ['BAD_REQUEST', 'no space left on device'],
  EDQUOT: ['BAD_REQUEST', 'disk quota exceeded'],
  ERR_INVALID_ARG_VALUE: ['BAD_REQUEST', 'invalid path'],
  ERR_FS_CP_EINVAL: ['BAD_REQUEST', 'invalid argument'],
  ERR_FS_CP_FIFO_PIPE: ['BAD_REQUEST', 'cannot copy a named pipe'],
  ERR_FS_CP_SOCKET: ['BAD_REQUEST', 'cannot copy a socket'],
  ERR_FS_CP_UNKNOWN: ['BAD_REQUEST', 'cannot copy a file of this kind'],
};

/** errno values that say the sandbox is out of something for the moment: 503, so that a caller may try again. */
const EXHAUSTED: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/** Errors of Linux that libuv has no name for: it reports them as `Unknown system error -122`. */
const UNNAMED: Readonly<Record<number, string>> = { 122: 'EDQUOT' };

export function errnoOf(error: unknown): string | null {
  const { code, errno } = (error ?? {}) as { code?: unknown; errno?: unknown };
  if (typeof errno === 'number' && -errno in UNNAMED) return UNNAMED[-errno]!;
  return typeof code === 'string' ? code : null;
}

/** @param path named in the message; by default the one the failed call was about */
export function fromErrno(error: unknown, path?: string): ToolboxError {
  if (error instanceof ToolboxError) return error;
  const errno = errnoOf(error);
  const row = errno === null ? undefined : ERRNO[errno];
  const at = path ?? (error as { path?: string } | null)?.path;
  if (row) return fail(row[0], at === undefined ? row[1] : `${row[1]}: ${at}`);
  if (errno !== null && EXHAUSTED.has(errno)) return new ToolboxError(503, null, `the sandbox has run out of resources (${errno})`);
  return fail('INTERNAL_SERVER_ERROR', `internal server error: ${error instanceof Error ? error.message : String(error)}`);
}

/** Wire: replies below these paths have always had the text under `error`, where old clients read it. */
const SPOKE_ERROR = /^\/(?:process\/pty|computeruse)(?:[/?]|$)/;

/** The reply body of an error. Wire: statusCode, message, timestamp and path are required. */
export function envelope(error: ToolboxError, method: string, path: string): string {
  return JSON.stringify({
    statusCode: error.status,
    message: error.message,
    ...(SPOKE_ERROR.test(path) ? { error: error.message } : {}),
    ...(error.code === null ? {} : { code: error.code }),
    source: 'DAYTONA_DAEMON',
    path,
    method,
    timestamp: new Date().toISOString(),
    ...(error.details === null ? {} : { details: error.details }),
  });
}
