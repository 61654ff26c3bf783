import type { FastifyInstance } from 'fastify';
import { ApiError } from './errors.ts';
import { ValidationError } from './validation.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** wire: the network settings refuse null where every other body takes it for "absent". */
    keepNulls?: boolean;
    /** The body schema documents only; the route checks the body itself. */
    looseBody?: boolean;
  }
}

/** Deeper than any request of the API; recursion below it stays far from the end of the stack. */
const MAX_DEPTH = 64;

/** What does not look like a media type counts as none. */
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+\s*(;.*)?$/;

/**
 * Bodies are JSON whatever their Content-Type says: curl sends forms, axios marks an empty POST as a form, some clients
 * send no type at all. Declared JSON must parse; anything else that does not parse counts as empty.
 */
export function addBodyParsing(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  for (const type of ['application/json', /^application\/[\w.+-]+\+json/]) {
    app.addContentTypeParser<string>(type, { parseAs: 'string' }, (_request, body, done) => {
      const parsed = parseJson(body);
      if (parsed.ok) done(null, parsed.value);
      else done(new ApiError('INVALID_JSON'));
    });
  }
  app.addContentTypeParser<string>('*', { parseAs: 'string' }, (_request, body, done) => {
    const parsed = parseJson(body);
    done(null, parsed.ok ? parsed.value : undefined);
  });
  app.addHook('onRequest', async ({ raw: { headers } }) => {
    if (headers['content-type'] !== undefined && !MEDIA_TYPE.test(headers['content-type'])) delete headers['content-type'];
  });
  app.addHook('preValidation', async (request) => {
    const problem = textProblem(request.params) ?? textProblem(request.query);
    if (problem) throw new ValidationError([problem]);
    if (typeof request.body !== 'object' || request.body === null) return;
    const wrong = clean(request.body, request.routeOptions.config.keepNulls === true, 0);
    if (wrong) throw new ValidationError([wrong]);
  });
}

function parseJson(text: string): { readonly ok: true; readonly value: unknown } | { readonly ok: false } {
  const trimmed = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  if (trimmed.trim() === '') return { ok: true, value: undefined };
  try {
    return { ok: true, value: JSON.parse(trimmed) as unknown };
  } catch {
    return { ok: false };
  }
}

/** Removes nulls and refuses what no text column can hold. @returns what is wrong */
function clean(node: object, keepNulls: boolean, depth: number): string | null {
  if (depth > MAX_DEPTH) return 'The body is nested too deeply';
  const isArray = Array.isArray(node);
  for (const [key, value] of Object.entries(node)) {
    if (key === '__proto__') Reflect.deleteProperty(node, key);
    else if (value === null && !keepNulls && !isArray) Reflect.deleteProperty(node, key);
    else {
      const wrong = unstorable(key) ?? (typeof value === 'string' ? unstorable(value) : typeof value === 'object' && value !== null ? clean(value as object, keepNulls, depth + 1) : null);
      if (wrong) return wrong;
    }
  }
  return null;
}

function textProblem(values: unknown): string | null {
  for (const value of Object.values(values ?? {}).flat()) {
    if (typeof value === 'string' && unstorable(value)) return unstorable(value);
  }
  return null;
}

/** PostgreSQL stores neither NUL nor halves of surrogate pairs. */
function unstorable(text: string): string | null {
  if (text.includes('\0')) return 'The request must not contain NUL characters';
  if (!text.isWellFormed()) return 'The request must be well-formed Unicode';
  return null;
}
