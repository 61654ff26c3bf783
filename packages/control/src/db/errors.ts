/** What can go wrong between us and PostgreSQL, told apart by what the caller can do about it. */

/** PostgreSQL is away or the connection broke: nobody's fault in the request, worth asking again. */
export class DatabaseUnavailable extends Error {
  override readonly name = 'DatabaseUnavailable';
}

/** Somebody else held a named lock for longer than the caller wanted to wait. */
export class LockTimeout extends Error {
  override readonly name = 'LockTimeout';
  readonly lock: string;
  constructor(lock: string, timeoutMs: number) {
    super(`Lock ${lock} was not free within ${timeoutMs} ms`);
    this.lock = lock;
  }
}

/** Socket-level failures of the connection to PostgreSQL. ENOENT: its unix socket is not there (yet). */
const SOCKET_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN']);
/** SQLSTATEs: class 08 connection, 57P01-3 shutting down, crashed or starting up, 53300 too many connections. */
const SQL_STATES = /^(08...|57P0[123]|53300)$/;
/** node-postgres reports these without a code. */
const MESSAGES = /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Query read timeout|Cannot use a pool after calling end/;

export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof DatabaseUnavailable) return true;
  if (!(error instanceof Error)) return false;
  const code = sqlState(error);
  if (code !== undefined) return SOCKET_CODES.has(code) || SQL_STATES.test(code);
  // Node tries ::1 and 127.0.0.1 and reports both failures as one AggregateError.
  if (error instanceof AggregateError) return error.errors.some(isConnectionLoss);
  return MESSAGES.test(error.message);
}

export function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** @returns the violated constraint's name, null when the error is something else */
export function uniqueViolation(error: unknown): string | null {
  if (sqlState(error) !== '23505') return null;
  return (error as { constraint?: string }).constraint ?? '';
}
