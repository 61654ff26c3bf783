import { badBody } from '../errors.ts';

/** Typed reads of a JSON body's fields. Wire: a required text must not be empty, null counts as absent. */
export type Body = Readonly<Record<string, unknown>>;

export function text(body: Body, name: string): string {
  const value = optionalText(body, name);
  if (value === undefined || value === '') throw badBody(`field '${name}' is required`);
  return value;
}

/** May be empty, but must be there. */
export function presentText(body: Body, name: string): string {
  const value = optionalText(body, name);
  if (value === undefined) throw badBody(`field '${name}' is required`);
  return value;
}

export function optionalText(body: Body, name: string): string | undefined {
  const value = body[name] ?? undefined;
  if (value !== undefined && typeof value !== 'string') throw badBody(`field '${name}' must be a string`);
  return value;
}

export function optionalNumber(body: Body, name: string): number | undefined {
  const value = body[name] ?? undefined;
  if (value !== undefined && (typeof value !== 'number' || !Number.isFinite(value))) throw badBody(`field '${name}' must be a number`);
  return value;
}

export function optionalBoolean(body: Body, name: string): boolean | undefined {
  const value = body[name] ?? undefined;
  if (value !== undefined && typeof value !== 'boolean') throw badBody(`field '${name}' must be true or false`);
  return value;
}

export function optionalTexts(body: Body, name: string): readonly string[] | undefined {
  const value = body[name] ?? undefined;
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) throw badBody(`field '${name}' must be a list of strings`);
  return value as string[];
}

export function texts(body: Body, name: string): readonly string[] {
  const value = optionalTexts(body, name);
  if (value === undefined) throw badBody(`field '${name}' is required`);
  return value;
}

const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Map of environment variables with names a shell accepts. */
export function optionalEnv(body: Body, name: string): Readonly<Record<string, string>> | undefined {
  const value = body[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw badBody(`field '${name}' must be a map of strings`);
  for (const [key, item] of Object.entries(value as object)) {
    if (!ENV_NAME.test(key)) throw badBody(`invalid environment variable name: ${key.slice(0, 200)}`);
    if (typeof item !== 'string') throw badBody(`environment variable '${key}' must be a string`);
    if (item.includes('\0')) throw badBody(`environment variable '${key}' contains a NUL character`);
  }
  return value as Record<string, string>;
}
