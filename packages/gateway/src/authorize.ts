import type { IncomingMessage } from 'node:http';
import { RESERVED_PORTS } from '@paddock/contract';
import { hasValidCookie, issueCookie, type CookieScope } from './cookie.ts';
import { queryValue, withoutPairs } from './query.ts';
import { hostName, type Route } from './route.ts';
import { sameSecret } from './secrets.ts';
import { checkSignedFile, isSignedFileRequest } from './signed-url.ts';
import type { GatewayBackend, GatewayConfig, RoutedSandbox } from './types.ts';

/** Wire names of the credentials a preview takes. */
const TOKEN_HEADER = 'x-daytona-preview-token';
const TOKEN_QUERY = 'DAYTONA_SANDBOX_AUTH_KEY';
const TOKEN_QUERY_SET: ReadonlySet<string> = new Set([TOKEN_QUERY]);

export type Authorization =
  | {
      readonly ok: true;
      readonly sandbox: RoutedSandbox;
      /** Query to forward: the original without what was a credential of ours. */
      readonly query: string;
      /** The Authorization header was a credential of ours and must not reach the app. */
      readonly bearerConsumed: boolean;
      readonly setCookie: string | null;
    }
  | { readonly ok: false; readonly status: 401 | 403 | 404; readonly code: string; readonly message: string };

/**
 * Decides who may pass, in this order: signed file URL, Bearer, token header, token query, cookie, signed token in the host name,
 * public sandbox. The first that holds wins; one that does not hold is skipped (an app's own Bearer must get through to the app).
 * Whoever shows no valid credential learns nothing: unknown and forbidden sandboxes answer alike.
 */
export async function authorize(req: IncomingMessage, route: Route, backend: GatewayBackend, config: GatewayConfig): Promise<Authorization> {
  const signed = route.labelIsId || route.port === null ? null : await backend.signedPreview(route.label, route.port);
  const id = route.labelIsId ? route.label : signed?.sandboxId;
  const sandbox = id === undefined ? null : await backend.sandbox(id);

  if (isSignedFileRequest(req, route)) {
    const check = checkSignedFile(sandbox?.signingKey ?? null, req.method ?? '', route.query, Date.now());
    if (!check.ok) return refuse(check.status, check.message);
    // A key matched, so there is a sandbox.
    return { ok: true, sandbox: sandbox as RoutedSandbox, query: check.query, bearerConsumed: true, setCookie: null };
  }

  const bearer = bearerOf(req);
  const principal = bearer === null ? null : await backend.authenticate(bearer, headerOf(req, 'x-daytona-organization-id'));
  const query = withoutPairs(route.query, TOKEN_QUERY_SET);
  const pass = (by: RoutedSandbox, setCookie: string | null = null): Authorization =>
    ({ ok: true, sandbox: by, query, bearerConsumed: principal !== null, setCookie });

  if (sandbox !== null) {
    if (principal !== null && await backend.canAccess(principal, sandbox)) return pass(sandbox);
    const header = headerOf(req, TOKEN_HEADER);
    if (header !== undefined && sameSecret(header, sandbox.authToken)) return pass(sandbox);
    const scope = cookieScope(route, sandbox);
    const key = queryValue(route.query, TOKEN_QUERY);
    if (key !== undefined && sameSecret(key, sandbox.authToken)) return pass(sandbox, scope && newCookie(scope));
    if (scope !== null && originMaySendCookie(req, scope.label, config) && hasValidCookie(backend.cookieKey, scope, req.headers.cookie, Date.now())) return pass(sandbox);
    if (signed !== null && !signed.expired) return pass(sandbox, scope && newCookie(scope));
    if (sandbox.public && route.port !== null && !RESERVED_PORTS.has(route.port)) return pass(sandbox);
  }
  if (principal !== null) return refuse(404, `not found: Sandbox with ID ${route.label} not found`);
  if (!route.labelIsId && route.via === 'host') return refuse(403, 'forbidden: Invalid or expired token');
  return refuse(401, route.via === 'path'
    ? 'unauthorized: send an API key as `Authorization: Bearer <key>`'
    : 'unauthorized: this preview is private; send its token in the header X-Daytona-Preview-Token or once in the query parameter DAYTONA_SANDBOX_AUTH_KEY');

  function newCookie(scope: CookieScope): string {
    return issueCookie(backend.cookieKey, scope, config.previewProtocol === 'https', Date.now());
  }
}

/** Cookies are for browsers on preview hosts. On the API's own host a cookie would let other sites' pages act for the user. */
function cookieScope(route: Route, sandbox: RoutedSandbox): CookieScope | null {
  if (route.port === null) return null;
  return { label: route.label, port: route.port, sandboxId: sandbox.id, authToken: sandbox.authToken };
}

/**
 * Previews of different sandboxes are the same *site* for a browser, so SameSite does not keep a page of one sandbox from
 * sending the visitor's cookie to another. The Origin header does: it must name a preview host of the same label.
 */
function originMaySendCookie(req: IncomingMessage, label: string, config: GatewayConfig): boolean {
  const origin = req.headers.origin;
  if (origin === undefined) return true;
  const host = /^https?:\/\/([^/]+)$/.exec(origin)?.[1];
  if (host === undefined) return false;
  const name = hostName(host);
  const suffix = `-${label}.${hostName(config.previewDomain)}`;
  return name.endsWith(suffix) && /^[0-9]+$/.test(name.slice(0, -suffix.length));
}

function bearerOf(req: IncomingMessage): string | null {
  const match = /^bearer +(\S+) *$/i.exec(req.headers.authorization ?? '');
  return match?.[1] ?? null;
}

function headerOf(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

const CODES = { 401: 'UNAUTHORIZED', 403: 'FORBIDDEN', 404: 'NOT_FOUND' } as const;

function refuse(status: 401 | 403 | 404, message: string): Authorization {
  return { ok: false, status, code: CODES[status], message };
}
