import { hmac, sameSecret } from './secrets.ts';

/** Wire: one cookie a sandbox (or signed token), valid 3600 s. */
export const COOKIE_SECONDS = 3600;
const PREFIX = 'daytona-sandbox-auth-';

/** What a cookie is good for: this host (label and port) of this sandbox, until its preview token rotates. */
export interface CookieScope {
  readonly label: string;
  readonly port: number;
  readonly sandboxId: string;
  readonly authToken: string;
}

/**
 * Set-Cookie value. Host-only on purpose (no Domain): a cookie for the whole preview domain would travel to every other
 * sandbox's app, and their scripts could set ours.
 */
export function issueCookie(key: Uint8Array, scope: CookieScope, secure: boolean, nowMs: number): string {
  const expires = Math.floor(nowMs / 1000) + COOKIE_SECONDS;
  const value = `${expires}.${signature(key, scope, expires)}`;
  return `${PREFIX}${scope.label}=${value}; Path=/; Max-Age=${COOKIE_SECONDS}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}

/** @param header raw Cookie header */
export function hasValidCookie(key: Uint8Array, scope: CookieScope, header: string | undefined, nowMs: number): boolean {
  if (header === undefined) return false;
  const name = `${PREFIX}${scope.label}=`;
  for (const part of header.split(';')) {
    const pair = part.trim();
    if (!pair.startsWith(name)) continue;
    const [expires = '', mac = ''] = pair.slice(name.length).split('.', 2);
    if (!/^[0-9]{1,12}$/.test(expires) || Number(expires) * 1000 <= nowMs) continue;
    if (sameSecret(mac, signature(key, scope, Number(expires)))) return true;
  }
  return false;
}

/** The Cookie header as the app may see it: without any sandbox cookie of ours; null when nothing is left. */
export function withoutOurCookies(header: string): string | null {
  if (!header.includes(PREFIX)) return header;
  const kept = header.split(';').filter((part) => !part.trimStart().startsWith(PREFIX));
  const text = kept.join(';').trim();
  return text === '' ? null : text;
}

function signature(key: Uint8Array, scope: CookieScope, expires: number): string {
  return hmac(key, ['paddock-preview-cookie-v1', scope.label, scope.port, scope.sandboxId, scope.authToken, expires].join('\n'));
}
