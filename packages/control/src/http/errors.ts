/**
 * Every error the control plane answers on purpose: status, wire text, and what the reader can do (documentation; the
 * clients match on the wire text, so it stays as it is). `{x}` is filled in from the error's facts.
 */
export const API_ERRORS = {
  // Authentication and authorisation
  INVALID_CREDENTIALS: [401, 'Invalid credentials', 'Send `Authorization: Bearer <API key>`; create a key if this one was deleted or expired.'],
  AUTH_UNAVAILABLE: [503, 'Temporary authentication service error', 'The database does not answer; try again in a moment.'],
  ACCESS_DENIED: [403, 'Access denied', 'Use a key that holds the permission this operation needs.'],
  WRONG_CONTEXT: [403, 'Invalid authentication context', 'Use a key of the organization named in the path.'],
  // Requests
  BAD_REQUEST: [400, '{reason}', 'Correct what the message names.'],
  INVALID_JSON: [400, 'Invalid JSON in request body', 'Send a well-formed JSON object.'],
  INVALID_URL: [400, 'The request URL is not valid: {reason}', 'Percent-encode the path and leave NUL bytes out.'],
  BODY_TOO_LARGE: [413, 'The request body must not be larger than {limit} bytes', 'Send less; files go through the toolbox, build contexts through object storage.'],
  UNKNOWN_ROUTE: [404, 'Cannot {method} {path}', 'Compare method and path with the list at /api.'],
  NOT_IMPLEMENTED: [501, '{what} are not implemented by this server yet', 'See COMPATIBILITY.md for what is.'],
  // Server
  UNAVAILABLE: [503, 'The database does not answer; try again in a moment', 'Nothing was lost; repeat the request.'],
  BUSY: [409, 'An operation is already in progress for this resource', 'Wait for it to end, then repeat the request.'],
  UNEXPECTED: [500, 'An unexpected error occurred.', 'A defect of the server: its log has the details.'],
  // Resources
  SANDBOX_NOT_FOUND: [404, 'Sandbox with ID or name {id} not found', 'List the sandboxes of the organization.'],
  SNAPSHOT_NOT_FOUND: [404, 'Snapshot with ID or name {id} not found', 'List the snapshots of the organization.'],
  BUILD_LOG_NOT_FOUND: [404, 'This build log does not exist or its URL has expired', 'Ask for a new URL (build-logs-url).'],
  ORGANIZATION_NOT_FOUND: [404, 'Organization with ID {id} not found', 'List the organizations of the user.'],
  REGION_NOT_FOUND: [404, 'Region not found', 'List the regions of the organization.'],
  VOLUME_NOT_FOUND: [404, 'Volume with ID {id} not found', 'List the volumes of the organization.'],
  VOLUME_NAME_NOT_FOUND: [404, 'Volume with name {name} not found', 'List the volumes of the organization.'],
  API_KEY_NOT_FOUND: [404, 'API key with name {name} not found', 'List the keys.'],
  API_KEY_EXISTS: [409, 'API key with name {name} already exists', 'Choose another name or delete the key first.'],
  DOCKER_REGISTRY_NOT_FOUND: [404, 'Docker registry with ID {id} not found', 'List the registries of the organization.'],
  EXCESS_PERMISSIONS: [403, 'Insufficient permissions for assigning: {permissions}', 'A key can only pass on what its creator may do.'],
} as const satisfies Record<string, readonly [status: number, message: string, help: string]>;

export type ApiErrorCode = keyof typeof API_ERRORS;

/** Thrown anywhere below a route; the edge turns it into a reply. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;
  readonly statusCode: number;

  constructor(code: ApiErrorCode, facts: Readonly<Record<string, string | number>> = {}) {
    const [status, template] = API_ERRORS[code];
    super(template.replace(/\{(\w+)\}/g, (_, fact: string) => String(facts[fact] ?? '')));
    this.code = code;
    this.statusCode = status;
  }
}

/** A refusal whose text belongs to one domain. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}
