import type { IncomingMessage } from 'node:http';
import { corsHeaders } from './cors.ts';
import { withoutOurCookies } from './cookie.ts';

/** Flat name/value list as in `rawHeaders`: keeps case, order and repetitions. */
export type HeaderList = string[];

/** Meant for one connection only (RFC 9110 §7.6.1), or rewritten below. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'transfer-encoding', 'upgrade', 'http2-settings'];
/** Never forwarded: ours to say (who came from where), or a credential of ours. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP, 'host', 'expect', 'content-length', 'forwarded', 'x-real-ip', 'x-daytona-preview-token', 'x-daytona-authorization',
]);
const NOT_RETURNED: ReadonlySet<string> = new Set(HOP_BY_HOP);

export interface ForwardedFrom {
  readonly host: string;
  readonly proto: string;
  /** Client and trusted proxies, comma separated. */
  readonly chain: string;
}

/** Request headers for the toolbox. Framing headers are set from how the body arrived, not from what the client wrote besides. */
export function requestHeaders(req: IncomingMessage, bearerConsumed: boolean, from: ForwardedFrom, upgrade: boolean): HeaderList {
  const raw = req.rawHeaders;
  const listed = connectionOptions(req.headers.connection);
  const out: HeaderList = ['Host', 'localhost'];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const key = name.toLowerCase();
    if (NOT_FORWARDED.has(key) || listed?.has(key) || isForwardingHeader(key)) continue;
    if (key === 'authorization' && bearerConsumed) continue;
    if (key === 'trailer' && req.headers['transfer-encoding'] === undefined) continue;
    if (key === 'cookie') {
      const cookie = withoutOurCookies(raw[i + 1] as string);
      if (cookie !== null) out.push(name, cookie);
      continue;
    }
    out.push(name, raw[i + 1] as string);
  }
  if (upgrade) out.push('Connection', 'Upgrade', 'Upgrade', 'websocket');
  else if (req.headers['transfer-encoding'] !== undefined) out.push('Transfer-Encoding', 'chunked');
  else if (req.headers['content-length'] !== undefined) out.push('Content-Length', req.headers['content-length']);
  else if (req.method !== 'GET' && req.method !== 'HEAD') out.push('Content-Length', '0');
  if (!upgrade && /\btrailers\b/i.test(String(req.headers.te ?? ''))) out.push('TE', 'trailers');
  out.push('X-Forwarded-Host', from.host, 'X-Forwarded-Proto', from.proto, 'X-Forwarded-For', from.chain);
  return out;
}

export interface ReplyRewrite {
  readonly corsOrigin: string | null;
  readonly setCookie: string | null;
  readonly location: (value: string) => string;
}

/** Reply headers for the client. An app that speaks CORS itself has the word: two Allow-Origin values would be refused by browsers. */
export function replyHeaders(req: IncomingMessage, upstream: IncomingMessage, rewrite: ReplyRewrite): HeaderList {
  const raw = upstream.rawHeaders;
  const listed = connectionOptions(upstream.headers.connection);
  const chunked = upstream.headers['transfer-encoding'] !== undefined;
  const ours = rewrite.corsOrigin !== null && upstream.headers['access-control-allow-origin'] === undefined ? rewrite.corsOrigin : null;
  const isRedirect = (upstream.statusCode ?? 0) >= 300 && (upstream.statusCode ?? 0) < 400;
  // Trailers can only follow a chunked body (RFC 9112 §7.1.2), and Node refuses to announce others.
  const mayTrail = chunked && req.httpVersionMinor > 0 && req.method !== 'HEAD';
  const out: HeaderList = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const key = name.toLowerCase();
    if (NOT_RETURNED.has(key) || listed?.has(key)) continue;
    if (key === 'content-length' && chunked || key === 'trailer' && !mayTrail) continue;
    if (key === 'access-control-allow-credentials' && ours !== null) continue;
    const value = raw[i + 1] as string;
    out.push(name, key === 'location' && isRedirect ? rewrite.location(value) : value);
  }
  if (ours !== null) out.push(...corsHeaders(ours));
  if (rewrite.setCookie !== null) out.push('Set-Cookie', rewrite.setCookie);
  return out;
}

/**
 * Makes a redirect of a server inside the sandbox right for the client: root-relative targets get the prefix under which
 * that server was reached, and an absolute one to the host name apps are told (`localhost:{port}`) becomes root-relative.
 */
export function locationRewriter(prefix: string, appPort: number | null): (value: string) => string {
  const own = appPort === null ? null : new RegExp(`^https?://localhost:${appPort}(?=[/?#]|$)`, 'i');
  const base = prefix === '' || appPort === null ? prefix : `${prefix}/proxy/${appPort}`;
  return (value) => {
    const relative = own?.test(value) ? value.replace(own, '').replace(/^(?!\/)/, '/') : value;
    if (prefix === '' || !relative.startsWith('/') || relative.startsWith('//')) return relative;
    return relative.startsWith('/proxy/') ? prefix + relative : base + relative;
  };
}

function connectionOptions(header: string | undefined): Set<string> | null {
  if (header === undefined || header.length <= 10 && /^(close|keep-alive)$/i.test(header)) return null;
  return new Set(header.toLowerCase().split(',').map((option) => option.trim()));
}

/** Also the spelling with underscores, which CGI-like servers cannot tell from the real one. */
function isForwardingHeader(key: string): boolean {
  return key.startsWith('x') && (key.includes('_') ? key.replaceAll('_', '-') : key).startsWith('x-forwarded-');
}
