import type { IncomingMessage } from 'node:http';
import type { GatewayConfig } from './types.ts';
import { previewPath, toolboxPath } from './path.ts';
import { parsePort } from './port.ts';

/** Where a request wants to go, read once from host and path; everything later uses only this. */
export interface Route {
  /** `host`: preview host. `path`: below /toolbox/{id}. */
  readonly via: 'host' | 'path';
  /** Sandbox id, or on preview hosts also a signed token. Lower case. */
  readonly label: string;
  readonly labelIsId: boolean;
  /** Port of a preview host; null for the toolbox path. */
  readonly port: number | null;
  /** Path on the toolbox, without query. */
  readonly path: string;
  /** App behind the toolbox's proxy route, null when the toolbox itself answers. */
  readonly appPort: number | null;
  /** Raw query without `?`. */
  readonly query: string;
  /** What a root-relative Location of the answering server must be prefixed with; empty on preview hosts. */
  readonly prefix: string;
}

export type RouteResult = { readonly ok: true; readonly route: Route } | { readonly ok: false; readonly status: 400 | 404; readonly message: string };

/** Wire: the sandbox routes of the base host. The second form is what the oldest SDKs call. */
const TOOLBOX_ROUTES: ReadonlyArray<{ start: string; after: string }> = [
  { start: '/toolbox/', after: '' },
  { start: '/api/toolbox/', after: '/toolbox' },
];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SIGNED_TOKEN = /^[a-z0-9]{8,63}$/;

export interface Router {
  matches(req: IncomingMessage): boolean;
  route(req: IncomingMessage): RouteResult;
}

export function createRouter(config: GatewayConfig): Router {
  const suffix = `.${hostName(config.previewDomain)}`;
  const publicHost = hostName(new URL(config.publicUrl).host);

  /** First label of a host below the preview domain; null: some other host. */
  function previewLabel(req: IncomingMessage): string | null {
    const host = hostName(req.headers.host ?? '');
    if (!host.endsWith(suffix) || host === publicHost) return null;
    const label = host.slice(0, -suffix.length);
    return label.includes('-') && !label.includes('.') ? label : null;
  }

  function route(req: IncomingMessage): RouteResult {
    if (countHosts(req) !== 1) return refuse(400, 'bad request: exactly one Host header is required');
    const url = req.url ?? '';
    if (!url.startsWith('/')) return refuse(400, 'bad request: the request target must be a path');
    const mark = url.indexOf('?');
    const rawPath = mark < 0 ? url : url.slice(0, mark);
    const query = mark < 0 ? '' : url.slice(mark + 1);
    const label = previewLabel(req);
    return label === null ? pathRoute(rawPath, query) : hostRoute(label, rawPath, query);
  }

  return {
    matches: (req) => previewLabel(req) !== null || toolboxRouteOf(req.url ?? '') !== null,
    route,
  };
}

function hostRoute(label: string, rawPath: string, query: string): RouteResult {
  const dash = label.indexOf('-');
  const port = parsePort(label.slice(0, dash));
  if (port === null) return refuse(400, 'bad request: the port of a preview host must be an integer from 1 to 65535');
  const name = label.slice(dash + 1);
  const labelIsId = UUID.test(name);
  if (!labelIsId && !SIGNED_TOKEN.test(name)) return refuse(404, 'not found: the host names neither a sandbox id nor a signed preview token');
  const target = previewPath(port, rawPath);
  if (!target.ok) return target;
  return { ok: true, route: { via: 'host', label: name, labelIsId, port, path: target.path, appPort: target.appPort, query, prefix: '' } };
}

function pathRoute(rawPath: string, query: string): RouteResult {
  const found = toolboxRouteOf(rawPath);
  if (found === null) return refuse(404, 'not found: no such path');
  const label = found.id.toLowerCase();
  const target = toolboxPath(found.rest || '/');
  if (!target.ok) return target;
  const prefix = rawPath.slice(0, rawPath.length - found.rest.length);
  return {
    ok: true,
    route: { via: 'path', label, labelIsId: UUID.test(label), port: null, path: target.path, appPort: target.appPort, query, prefix },
  };
}

function toolboxRouteOf(url: string): { id: string; rest: string } | null {
  for (const { start, after } of TOOLBOX_ROUTES) {
    if (!url.startsWith(start)) continue;
    const match = /^[^/?]*/.exec(url.slice(start.length));
    const id = match?.[0] ?? '';
    const behind = url.slice(start.length + id.length);
    if (!behind.startsWith(after)) return null;
    const rest = behind.slice(after.length);
    if (rest !== '' && rest[0] !== '/' && rest[0] !== '?') return null;
    return { id, rest };
  }
  return null;
}

/** Host without port and trailing dot, lower case. */
export function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
}

/** Two Host headers may be read differently by whatever stands before us; RFC 9112 asks for 400. */
function countHosts(req: IncomingMessage): number {
  let count = 0;
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const name = req.rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') count += 1;
  }
  return count;
}

function refuse(status: 400 | 404, message: string): RouteResult {
  return { ok: false, status, message };
}
