import { TOOLBOX_PORT } from '@paddock/contract';
import { parsePort } from './port.ts';

/** Path on the toolbox (no query) that one request may reach, or why there is none. */
export type TargetPath =
  | { readonly ok: true; readonly path: string; readonly appPort: number | null }
  | { readonly ok: false; readonly status: 400 | 404; readonly message: string };

/** Routes of the toolbox that are not for its users. */
const INTERNAL: ReadonlySet<string> = new Set(['init', 'ssh']);

const HIDDEN: TargetPath = { ok: false, status: 404, message: 'not found: no such path' };

/**
 * The toolbox path for a request that came in below `/toolbox/{id}` or on the preview host of port 2280.
 * What is forwarded is what was judged: slashes merged, dot segments resolved. `/init` is the runner's and `/ssh` the SSH gateway's, in no spelling and by no
 * detour (`/proxy/2280/init`) reachable from here. The path behind `/proxy/{port}` belongs to the app: only dot segments are resolved.
 */
export function toolboxPath(raw: string): TargetPath {
  let rest = raw;
  // Every round takes one `/proxy/2280` away, so this ends.
  for (;;) {
    const path = resolveDotSegments(rest);
    const first = segmentAt(path, 0);
    if (decoded(first.text)?.toLowerCase() !== 'proxy') return ownPath(path);
    const second = segmentAt(path, first.end);
    const port = parsePort(second.text);
    if (port === null) return { ok: false, status: 400, message: 'bad request: port must be an integer from 1 to 65535' };
    rest = path.slice(second.end) || '/';
    if (port !== TOOLBOX_PORT) return { ok: true, path: `/proxy/${port}${rest}`, appPort: port };
  }
}

/** The toolbox path for a request on the preview host of `port`. */
export function previewPath(port: number, raw: string): TargetPath {
  return port === TOOLBOX_PORT ? toolboxPath(raw) : { ok: true, path: `/proxy/${port}${resolveDotSegments(raw)}`, appPort: port };
}

function ownPath(path: string): TargetPath {
  const merged = path.replace(/\/{2,}/g, '/');
  if (!merged.includes('%') && !merged.includes(';')) {
    return INTERNAL.has(merged.toLowerCase().replace(/\/$/, '').slice(1)) ? HIDDEN : { ok: true, path: merged, appPort: null };
  }
  const plain = decoded(merged);
  if (plain === null) return { ok: false, status: 400, message: 'bad request: malformed percent-encoding in the path' };
  const names = loosestReading(plain);
  if (names[0] === 'proxy' || (names.length === 1 && INTERNAL.has(names[0]!))) return HIDDEN;
  return { ok: true, path: merged, appPort: null };
}

/** Segments as the most lenient router might see them: an encoded slash, a parameter or white space must not make up a route. */
function loosestReading(decodedPath: string): string[] {
  const names: string[] = [];
  for (const segment of decodedPath.split(/[\\/]/)) {
    const name = (segment.split(';', 1)[0] ?? '').trim().toLowerCase();
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names;
}

/**
 * Resolves `.` and `..` segments, also percent-encoded ones, never above the root; encodes `\` and `#`, which some URL parsers take for a
 * slash and an end. Everything else stays byte for byte. Clients do the same before they send, so this only meets handmade requests.
 */
export function resolveDotSegments(raw: string): string {
  if (!/\/\.|%2e|[\\#]/i.test(raw)) return raw;
  const segments: string[] = [];
  const parts = raw.replace(/\\/g, '%5C').replace(/#/g, '%23').split('/');
  parts.forEach((part, index) => {
    if (index === 0) return;
    const dots = part.replace(/%2e/gi, '.');
    const isLast = index === parts.length - 1;
    if (dots === '.' || dots === '..') {
      if (dots === '..') segments.pop();
      if (isLast) segments.push('');
    } else {
      segments.push(part);
    }
  });
  return `/${segments.join('/')}`;
}

/** The next non-empty segment at or behind `from`, and where it ends. */
function segmentAt(path: string, from: number): { text: string; end: number } {
  let start = from;
  while (path.charCodeAt(start) === 47) start += 1;
  const slash = path.indexOf('/', start);
  const end = slash < 0 ? path.length : slash;
  return { text: path.slice(start, end), end };
}

function decoded(text: string): string | null {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
