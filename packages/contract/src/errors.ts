/**
 * Error bodies of the control plane and of everything that answers in its place (gateway, 501 routes).
 * Clients: the CLI decodes `error` as string and `message` as string; SDKs choose the class by `source` and `code`, then by status.
 */
export interface ErrorBody {
  readonly statusCode: number;
  readonly error: string;
  readonly message: string;
  readonly code?: string;
  readonly source: ErrorSource;
  readonly path: string;
  readonly method?: string;
  readonly timestamp: string;
}

export type ErrorSource = 'DAYTONA_API' | 'DAYTONA_DAEMON' | 'DAYTONA_PROXY';

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed', 408: 'Request Timeout',
  409: 'Conflict', 410: 'Gone', 411: 'Length Required', 413: 'Payload Too Large', 414: 'URI Too Long', 415: 'Unsupported Media Type', 416: 'Range Not Satisfiable',
  417: 'Expectation Failed', 422: 'Unprocessable Entity', 426: 'Upgrade Required', 429: 'Too Many Requests', 431: 'Request Header Fields Too Large',
  500: 'Internal Server Error', 501: 'Not Implemented', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout', 507: 'Insufficient Storage',
};

export function errorBody(
  source: ErrorSource, statusCode: number, message: string, at: { path: string; method?: string; code?: string },
): ErrorBody {
  return {
    path: at.path,
    ...(at.method === undefined ? {} : { method: at.method }),
    timestamp: new Date().toISOString(),
    statusCode,
    error: REASONS[statusCode] ?? 'Error',
    message,
    ...(at.code === undefined ? {} : { code: at.code }),
    source,
  };
}
