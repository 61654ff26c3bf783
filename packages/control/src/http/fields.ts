import { displayTextProblem } from './display-text.ts';

/** Sizes that a request may hold. Generous for people, small enough that a row and an event stay a few hundred KiB at most. */
const LIMITS = {
  displayText: 255,
  labels: 256,
  labelKey: 256,
  labelValue: 4_096,
  /** Linux refuses a single `NAME=value` of 128 KiB or more at exec. */
  envEntryBytes: 131_071,
  /** All of it together; every process started in the sandbox carries it, and the kernel allows 2 MiB with the arguments. */
  envBytes: 524_288,
} as const;

/** Largest number a PostgreSQL integer holds. */
const MAX_INTEGER = 2_147_483_647;

/**
 * Reads the fields of a JSON body one by one and collects everything that is wrong, so that one reply names all of it.
 * wire: null counts as absent, unknown fields are ignored.
 */
export class Fields {
  readonly problems: string[] = [];
  readonly #body: Readonly<Record<string, unknown>>;

  constructor(body: unknown) {
    const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
    if (!isObject && body !== undefined && body !== null) this.problems.push('The body must be a JSON object');
    this.#body = isObject ? (body as Record<string, unknown>) : {};
  }

  raw(key: string): unknown {
    return this.#body[key];
  }

  present(key: string): boolean {
    return this.#body[key] !== undefined && this.#body[key] !== null;
  }

  /** Present and not an empty text, list or object. */
  filled(key: string): boolean {
    const value = this.#body[key];
    if (value === undefined || value === null || value === '') return false;
    return typeof value !== 'object' || Object.keys(value).length > 0;
  }

  /** An empty text counts as absent. */
  text(key: string, maxLength: number): string | null {
    const value = this.#body[key];
    if (value === undefined || value === null || value === '') return null;
    if (typeof value !== 'string') return this.#wrong(`${key} must be a string`);
    if (value.length > maxLength) return this.#wrong(`${key} must be shorter than or equal to ${maxLength} characters`);
    if (value.includes('\0')) return this.#wrong(`${key} must not contain control characters`);
    return value;
  }

  /** A list of texts; one text counts as a list of it. */
  texts(key: string, maxItems: number): readonly string[] | null {
    const value = this.#body[key];
    if (value === undefined || value === null) return null;
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every((item): item is string => typeof item === 'string')) return this.#wrong(`each value in ${key} must be a string`);
    if (list.length > maxItems) return this.#wrong(`${key} must contain no more than ${maxItems} elements`);
    if (list.some((item) => item.length > LIMITS.labelValue || item.includes('\0'))) return this.#wrong(`each value in ${key} must be a text of at most ${LIMITS.labelValue} characters`);
    return list;
  }

  object(key: string): unknown {
    const value = this.#body[key];
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.#wrong(`${key} must be an object`);
    return value;
  }

  displayText(key: string): string | null {
    const value = this.text(key, LIMITS.displayText);
    const problem = value === null ? null : displayTextProblem(value);
    return problem ? this.#wrong(`${key} ${problem}`) : value;
  }

  flag(key: string): boolean | null {
    const value = this.#body[key];
    if (value === undefined || value === null) return null;
    return typeof value === 'boolean' ? value : this.#wrong(`${key} must be a boolean value`);
  }

  integer(key: string, range: { min?: number }): number | null {
    const value = this.#body[key];
    if (value === undefined || value === null) return null;
    if (typeof value !== 'number' || !Number.isInteger(value)) return this.#wrong(`${key} must be an integer number`);
    if (range.min !== undefined && value < range.min) return this.#wrong(`${key} must not be less than ${range.min}`);
    if (Math.abs(value) > MAX_INTEGER) return this.#wrong(`${key} must not be greater than ${MAX_INTEGER}`);
    return value;
  }

  labels(key: string): Readonly<Record<string, string>> {
    const entries = this.#stringMap(key);
    if (entries.length > LIMITS.labels) this.problems.push(`${key} must hold at most ${LIMITS.labels} entries`);
    for (const [name, value] of entries) {
      if (name === '' || name.length > LIMITS.labelKey) this.problems.push(`${key}: a name must have 1 to ${LIMITS.labelKey} characters`);
      if (value.length > LIMITS.labelValue) this.problems.push(`${key}: the value of "${name.slice(0, 64)}" must have at most ${LIMITS.labelValue} characters`);
      if (name.includes('\0') || value.includes('\0')) this.problems.push(`${key} must not contain NUL characters`);
    }
    return Object.fromEntries(entries);
  }

  env(key: string): Readonly<Record<string, string>> {
    const entries = this.#stringMap(key);
    let total = 0;
    for (const [name, value] of entries) {
      if (name === '' || /[=\0]/.test(name)) this.problems.push(`${key}: "${name.slice(0, 64)}" is not a name for an environment variable`);
      if (value.includes('\0')) this.problems.push(`${key}: the value of "${name.slice(0, 64)}" must not contain NUL characters`);
      const bytes = Buffer.byteLength(name) + Buffer.byteLength(value) + 2;
      if (bytes > LIMITS.envEntryBytes) this.problems.push(`${key}: "${name.slice(0, 64)}" must not be larger than ${LIMITS.envEntryBytes} bytes`);
      total += bytes;
    }
    if (total > LIMITS.envBytes) this.problems.push(`${key} must not be larger than ${LIMITS.envBytes} bytes in total`);
    return Object.fromEntries(entries);
  }

  #stringMap(key: string): ReadonlyArray<readonly [string, string]> {
    const value = this.#body[key];
    if (value === undefined || value === null) return [];
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.problems.push(`${key} must be an object`);
      return [];
    }
    const entries = Object.entries(value);
    if (entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return entries;
    this.problems.push(`${key} must have string values`);
    return [];
  }

  #wrong(problem: string): null {
    this.problems.push(problem);
    return null;
  }
}
