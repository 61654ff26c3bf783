import { parse } from 'node:querystring';

/** More parameters than any client sends; the rest is ignored, so that a query string cannot cost much. */
const MAX_PARAMETERS = 1000;

/**
 * wire: arrays come as `a=1&a=2`, `a[]=1` or `a[0]=1`; all become `a`. A parameter given once is a text, whatever its
 * schema says: `fromText` makes the array.
 */
export function parseQuery(text: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(parse(text, '&', '=', { maxKeys: MAX_PARAMETERS }))) {
    const key = name.replace(/\[\d*\]$/, '');
    if (value === undefined || key === '' || key === '__proto__') continue;
    const before = Object.hasOwn(query, key) ? query[key]! : [];
    const all = [before, value].flat();
    query[key] = all.length === 1 && key === name && !Array.isArray(value) ? all[0]! : all;
  }
  return query;
}

interface PropertySchema {
  readonly type?: string;
  readonly items?: PropertySchema;
  readonly anyOf?: readonly PropertySchema[];
}

/**
 * Gives texts the types their schema declares: numbers, booleans, and an array for a single value. What does not convert
 * stays a text, so that validation names it. An empty text counts as absent unless a string is wanted.
 */
export function fromText(schema: unknown, input: unknown): Record<string, unknown> {
  const properties = (schema as { properties?: Record<string, PropertySchema> }).properties ?? {};
  const result: Record<string, unknown> = { ...(input as object) };
  for (const [name, property] of Object.entries(properties)) {
    const value = result[name];
    if (value === undefined) continue;
    const type = typeOf(property);
    if (type === 'array') {
      result[name] = [value].flat().map((item) => convert(item, property.items?.type));
      continue;
    }
    // Repeated although one is wanted: the last one counts, as in most URL builders.
    const single = Array.isArray(value) ? (value.at(-1) as unknown) : value;
    if (single === '' && type !== 'string') delete result[name];
    else result[name] = convert(single, type);
  }
  return result;
}

function typeOf(property: PropertySchema): string | undefined {
  return property.type ?? property.anyOf?.find((option) => option.type !== 'null')?.type;
}

function convert(value: unknown, type: string | undefined): unknown {
  if (typeof value !== 'string') return value;
  if (type === 'integer' || type === 'number') return /^-?\d{1,15}(\.\d{1,15})?$/.test(value) ? Number(value) : value;
  if (type === 'boolean') return value === 'true' ? true : value === 'false' ? false : value;
  return value;
}
