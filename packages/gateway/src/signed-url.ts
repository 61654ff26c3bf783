import type { IncomingMessage } from 'node:http';
import type { Route } from './route.ts';
import { queryCount, queryValue, withoutPairs } from './query.ts';
import { hmac, sameSecret } from './secrets.ts';

/** Wire: the only requests a signed file URL can be for. */
const SIGNED_ROUTES: Readonly<Record<string, string>> = { GET: '/files/download', POST: '/files/upload-v2' };
const CONSUMED: ReadonlySet<string> = new Set(['path', 'expires', 'signature']);

/** Signature text of a file URL: `expires` is a Unix second or `0` for never; `path` is the decoded query value, verbatim. */
export function fileSignature(key: string, method: string, path: string, expires: string): string {
  return `v1_${hmac(key, `v1:files:${method}:${path}:${expires}`)}`;
}

/** Whether a request claims to be signed; then the signature alone decides, no other credential is looked at. */
export function isSignedFileRequest(req: IncomingMessage, route: Route): boolean {
  return route.appPort === null && SIGNED_ROUTES[req.method ?? ''] === route.path && queryCount(route.query, 'signature') > 0;
}

export type SignedFileCheck = { readonly ok: true; readonly query: string } | { readonly ok: false; readonly status: 401 | 403; readonly message: string };

/**
 * @param key null when the sandbox is unknown or never had a key: answered as a wrong signature, so nothing can be probed
 * @returns the query to forward: the signed path and nothing the signature did not cover except unrelated parameters
 */
export function checkSignedFile(key: string | null, method: string, query: string, nowMs: number): SignedFileCheck {
  const path = queryValue(query, 'path');
  const expires = queryValue(query, 'expires');
  const signature = queryValue(query, 'signature');
  const once = ['path', 'expires', 'signature'].every((name) => queryCount(query, name) === 1);
  if (!once || path === undefined || expires === undefined || signature === undefined || !/^(0|[1-9][0-9]{0,14})$/.test(expires)) {
    return { ok: false, status: 401, message: 'unauthorized: a signed file URL needs path, expires and signature once each' };
  }
  if (key === null || !sameSecret(signature, fileSignature(key, method, path, expires))) {
    return { ok: false, status: 401, message: 'unauthorized: invalid signature' };
  }
  if (expires !== '0' && Number(expires) * 1000 <= nowMs) return { ok: false, status: 403, message: 'forbidden: the signed file URL has expired' };
  const rest = withoutPairs(query, CONSUMED);
  return { ok: true, query: `path=${encodeURIComponent(path.toWellFormed())}${rest === '' ? '' : `&${rest}`}` };
}
