import type { Exchange, Handler } from './exchange.ts';
import { decode } from './exchange.ts';
import { fail, ToolboxError } from '../errors.ts';

/** A route: the method, a path with `{name}` segments, and where its handler lives. Handlers are loaded at first use. */
export type Route = readonly [method: string, path: string, load: () => Promise<{ readonly handle: Handler }>];

interface Found {
  readonly handle: () => Promise<{ readonly handle: Handler }>;
  readonly params: readonly string[];
}

interface Pattern {
  readonly segments: readonly string[];
  readonly methods: Map<string, Route[2]>;
}

/**
 * Finds routes: paths without parameters by one map lookup, the others by comparing segments.
 * A literal segment wins over a parameter when both match, whatever their order in the table.
 */
export class Router {
  readonly #exact = new Map<string, Map<string, Route[2]>>();
  readonly #patterns: Pattern[] = [];

  constructor(routes: Iterable<Route>) {
    for (const [method, path, load] of routes) this.#methodsOf(path).set(method, load);
    this.#patterns.sort((a, b) => literals(b) - literals(a));
  }

  find(method: string, path: string): Found {
    const exact = this.#exact.get(path);
    if (exact) return { handle: pick(exact, method, path), params: [] };
    const segments = path.split('/');
    for (const pattern of this.#patterns) {
      if (matches(pattern.segments, segments)) {
        return {
          handle: pick(pattern.methods, method, path),
          params: segments.filter((_, at) => isParameter(pattern.segments[at]!)).map(decode),
        };
      }
    }
    throw fail('NOT_FOUND', `not found: ${method} ${path}`);
  }

  #methodsOf(path: string): Map<string, Route[2]> {
    if (!path.includes('{')) {
      const known = this.#exact.get(path);
      if (known) return known;
      const methods = new Map<string, Route[2]>();
      this.#exact.set(path, methods);
      return methods;
    }
    const segments = path.split('/');
    const known = this.#patterns.find((pattern) => pattern.segments.join('/') === path);
    if (known) return known.methods;
    const pattern: Pattern = { segments, methods: new Map() };
    this.#patterns.push(pattern);
    return pattern.methods;
  }
}

export class MethodNotAllowed extends ToolboxError {
  readonly allow: string;
  constructor(method: string, path: string, allow: string) {
    super(405, null, `method not allowed: ${method} ${path}, use ${allow}`);
    this.allow = allow;
  }
}

/** HEAD is GET without a body; Node leaves the body out itself. */
function pick(methods: Map<string, Route[2]>, method: string, path: string): Route[2] {
  const load = methods.get(method === 'HEAD' ? 'GET' : method);
  if (load) return load;
  throw new MethodNotAllowed(method, path, [...methods.keys()].join(', '));
}

const isParameter = (segment: string): boolean => segment.startsWith('{');
const literals = (pattern: Pattern): number => pattern.segments.filter((segment) => !isParameter(segment)).length;

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  return pattern.length === segments.length && pattern.every((part, at) => part === segments[at] || (isParameter(part) && segments[at] !== ''));
}

export type { Exchange };
