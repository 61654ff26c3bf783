import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import { errorBody } from '@paddock/contract';
import { corsHeaders, corsOrigin } from './cors.ts';

/**
 * How long the rest of an upload is read and thrown away after an early reply. A client that is still sending cannot see
 * the reply before its own data is taken; half a minute moves gigabytes on a LAN, and bounds what a malicious one can hold.
 */
const DRAIN_MS = 30_000;

export interface Refusal {
  readonly status: number;
  readonly code: string;
  /** One sentence for the user; never a secret. */
  readonly message: string;
}

/** Answers in the error envelope (source DAYTONA_PROXY), or with a plain page when a browser navigates. */
export function refuse(req: IncomingMessage, res: ServerResponse, refusal: Refusal): void {
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const html = wantsPage(req);
  const path = (req.url ?? '').split('?', 1)[0] ?? '';
  const body = Buffer.from(html
    ? page(refusal)
    : JSON.stringify(errorBody('DAYTONA_PROXY', refusal.status, refusal.message, { path, method: req.method, code: refusal.code })));
  const origin = corsOrigin(req);
  // A client that waits for `100 Continue` either sends no body at all or breaks the framing of a kept connection: close it.
  const unasked = req.headers.expect !== undefined && !req.complete;
  res.writeHead(refusal.status, STATUS_CODES[refusal.status] ?? '', [
    'Content-Type', html ? 'text/html; charset=utf-8' : 'application/json; charset=utf-8',
    'Content-Length', String(body.length),
    'Cache-Control', 'no-store',
    ...(refusal.status === 401 && !html ? ['WWW-Authenticate', 'Bearer'] : []),
    ...(unasked ? ['Connection', 'close'] : []),
    ...(html ? ['Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'"] : []),
    ...(origin === null ? [] : corsHeaders(origin)),
  ]);
  res.end(req.method === 'HEAD' ? undefined : body);
  drain(req);
}

/** Reads on so that a client in the middle of an upload gets to see the reply. */
export function drain(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  const timer = setTimeout(() => req.socket.destroy(), DRAIN_MS);
  timer.unref();
  req.once('close', () => clearTimeout(timer));
  req.on('error', () => {}); // The client may hang up meanwhile: nothing is waiting for its data.
  req.resume();
}

function wantsPage(req: IncomingMessage): boolean {
  return (req.method === 'GET' || req.method === 'HEAD') && (req.headers.accept ?? '').includes('text/html') && req.headers.upgrade === undefined;
}

const TITLES: Readonly<Record<number, string>> = {
  401: 'This preview is private', 403: 'This preview link is not valid', 404: 'Nothing here', 400: 'The sandbox cannot answer', 502: 'The sandbox does not answer',
};
const HELP: Readonly<Record<number, string>> = {
  401: 'Ask its owner for a signed preview link, or open it with its token: add <code>?DAYTONA_SANDBOX_AUTH_KEY=&lt;token&gt;</code> to the address once, or send the header <code>X-Daytona-Preview-Token</code>. The token comes with <code>sandbox.getPreviewLink(port)</code>.',
  403: 'Signed preview links end after a while or when they are revoked. Ask for a new one.',
};

function page(refusal: Refusal): string {
  const text = refusal.message.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
  const title = TITLES[refusal.status] ?? 'Error';
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>`
    + '<style>body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem}small{color:#777}</style>'
    + `<h1>${title}</h1><p>${HELP[refusal.status] ?? text}</p><small>${refusal.status} ${refusal.code}</small></html>\n`;
}
