/** What can be wrong: status, message unless a better one is given, and the code of the specification where ours is finer (5xx may have any). */
const CODES = {
  BLOB_UNKNOWN: [404, 'The repository has no such blob'],
  BLOB_UPLOAD_INVALID: [400, 'The upload cannot go on like this'],
  BLOB_UPLOAD_UNKNOWN: [404, 'There is no such upload: it ended, or nothing came for a day; start again'],
  DIGEST_INVALID: [400, 'The digest is not that of the content, or none this registry knows (sha256, sha512)'],
  MANIFEST_BLOB_UNKNOWN: [400, 'The manifest names a blob or manifest that the repository does not have; push it first'],
  MANIFEST_INVALID: [400, 'The manifest is not valid'],
  MANIFEST_UNKNOWN: [404, 'The repository has no such manifest'],
  NAME_INVALID: [400, 'Repository names are lower-case letters and digits, separated by . _ __ - and /'],
  NAME_UNKNOWN: [404, 'There is no such repository'],
  SIZE_INVALID: [400, 'The length is not what was announced'],
  UNAUTHORIZED: [401, 'Log in with the user name and secret of `GET /api/docker-registry/registry-push-access`'],
  DENIED: [403, 'These credentials do not open this repository'],
  UNSUPPORTED: [405, 'This registry does not do that'],
  TOOMANYREQUESTS: [429, 'Too many requests'],
  TAG_INVALID: [400, 'Tags are at most 128 letters, digits, _ . and -, not starting with . or -', 'MANIFEST_INVALID'],
  PAGINATION_NUMBER_INVALID: [400, '`n` is a whole number', 'UNSUPPORTED'],
  PIECE_OUT_OF_ORDER: [416, 'The range does not follow what is there', 'BLOB_UPLOAD_INVALID'],
  NO_SUCH_RANGE: [416, 'The blob has no such bytes', 'SIZE_INVALID'],
  NOT_FOUND: [404, 'There is nothing at this path', 'UNSUPPORTED'],
  UNAVAILABLE: [503, 'The server cannot do this at the moment; try again'],
  STORE_FULL: [507, 'The disk of this registry is full; its operator must make room'],
  UNKNOWN: [500, 'An unexpected error occurred; the log of the server has the details'],
} as const satisfies Record<string, readonly [status: number, message: string, wire?: string]>;

export type RegistryErrorCode = keyof typeof CODES;

interface Extras {
  readonly message?: string;
  readonly status?: number;
  readonly detail?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Thrown anywhere below the handler, which turns it into `{"errors": [{code, message, detail}]}`. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;
  /** What the client is told. */
  readonly wire: string;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: RegistryErrorCode, { message, status, detail, headers }: Extras = {}) {
    super(message ?? CODES[code][1]);
    this.code = code;
    this.wire = (CODES[code] as readonly [number, string, string?])[2] ?? code;
    this.status = status ?? CODES[code][0];
    this.detail = detail;
    this.headers = headers ?? {};
  }
}
