import type { IncomingMessage } from 'node:http';

/** Wire: what a preflight allows; 12 h is what clients may cache it for. */
const METHODS = 'GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS';
const MAX_AGE_SECONDS = 12 * 3600;

/** Origin to reflect, or null when the request is not cross-origin or asked us to stay out of it. */
export function corsOrigin(req: IncomingMessage): string | null {
  const origin = req.headers.origin;
  return origin === undefined || String(req.headers['x-daytona-disable-cors']).toLowerCase() === 'true' ? null : origin;
}

/** A preflight carries no credential by design, so it is answered here, before authentication, for every host alike. */
export function isPreflight(req: IncomingMessage): boolean {
  return req.method === 'OPTIONS' && corsOrigin(req) !== null && req.headers['access-control-request-method'] !== undefined;
}

/** Flat header list of the 204 that answers a preflight. */
export function preflightHeaders(req: IncomingMessage, origin: string): string[] {
  const requested = req.headers['access-control-request-headers'];
  return [
    ...corsHeaders(origin),
    'Access-Control-Allow-Methods', METHODS,
    ...(requested === undefined ? [] : ['Access-Control-Allow-Headers', String(requested)]),
    'Access-Control-Max-Age', String(MAX_AGE_SECONDS),
    'Content-Length', '0',
  ];
}

/** Flat header list for any other reply to a cross-origin request. */
export function corsHeaders(origin: string): string[] {
  return ['Access-Control-Allow-Origin', origin, 'Access-Control-Allow-Credentials', 'true', 'Vary', 'Origin'];
}
