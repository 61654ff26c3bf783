import { isIP } from 'node:net';

/** Reading of one setting: the value, or what would have been accepted (completes the sentence "expected …"). */
export type Reading<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly expected: string };

/** Turns the text of a flag, an environment variable or a TOML value into a value that cannot be wrong. */
export type Reader<T> = (text: string) => Reading<T>;

const value = <T>(it: T): Reading<T> => ({ ok: true, value: it });
const expected = (what: string): Reading<never> => ({ ok: false, expected: what });

export function wholeNumber(from: number, to: number): Reader<number> {
  return (text) => {
    const number = Number(text);
    return /^\d+$/.test(text) && number >= from && number <= to ? value(number) : expected(`a whole number from ${from} to ${to}`);
  };
}

export function oneOf<const T extends string>(...choices: readonly T[]): Reader<T> {
  return (text) => {
    const choice = choices.find((candidate) => candidate === text);
    return choice === undefined ? expected(choices.join(', ')) : value(choice);
  };
}

export function matching(pattern: RegExp, what: string): Reader<string> {
  return (text) => (pattern.test(text) ? value(text) : expected(what));
}

export const absolutePath: Reader<string> = (text) =>
  // A colon or a comma in the path would end an option of overlayfs, which takes the pool's directories as text.
  /^\/[^\0\n:,]*$/.test(text) ? value(text.length > 1 ? text.replace(/\/+$/, '') : text) : expected('an absolute path without colon, comma or line break');

export const address: Reader<string> = (text) =>
  isIP(text) || text === 'localhost' ? value(text) : expected('an IP address or localhost');

export const origin: Reader<string> = (text) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  const fits = url && /^https?:$/.test(url.protocol) && url.pathname === '/' && !url.search && !url.hash && !url.username;
  return fits ? value(url.origin) : expected('an origin such as https://paddock.example, without a path');
};

export const postgresUrl: Reader<string> = (text) =>
  /^postgres(ql)?:\/\/\S+$/.test(text) ? value(text) : expected('a URL that starts with postgres:// or postgresql://');

/** Generated keys are `dtn_` and 64 hex digits; clients pass on whatever they were given, so other keys are taken too. */
export const apiKey: Reader<string> = (text) =>
  /^[\x21-\x7e]{16,}$/.test(text) ? value(text) : expected('at least 16 printable characters without blanks');

export function list<T>(item: Reader<T>): Reader<readonly T[]> {
  return (text) => {
    const values: T[] = [];
    for (const part of text.split(',').map((piece) => piece.trim()).filter(Boolean)) {
      const reading = item(part);
      if (!reading.ok) return expected(`${reading.expected}; several separated by commas`);
      values.push(reading.value);
    }
    return value(values);
  };
}

export const cidr: Reader<string> = (text) => {
  const [ip = '', prefix, rest] = text.split('/');
  const family = isIP(ip);
  const bits = prefix === undefined ? NaN : wholeNumber(0, family === 4 ? 32 : 128)(prefix).ok;
  return family && bits === true && rest === undefined ? value(text) : expected('a CIDR such as 10.0.0.0/8');
};

export const ipv4Subnet16: Reader<string> = (text) =>
  /^(\d+)\.(\d+)\.0\.0\/16$/.test(text) && isIP(text.split('/')[0] ?? '') === 4 ? value(text) : expected('a /16 such as 10.66.0.0/16');

export const ip: Reader<string> = (text) => (isIP(text) ? value(text) : expected('an IP address'));

/** `host[:port]` as in image references. */
export const registryHost: Reader<string> = matching(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?$/, 'the host of a registry, with :port if it has one');

/** `host=url,…`; a host may come several times. */
export const mirrors: Reader<Readonly<Record<string, readonly string[]>>> = (text) => {
  const result: Record<string, string[]> = {};
  for (const part of text.split(',').map((item) => item.trim()).filter(Boolean)) {
    const [, host, url] = /^([A-Za-z0-9.:-]+)\s*=\s*(https?:\/\/[^\s/?#@]+)\/?$/.exec(part) ?? [];
    if (host === undefined || !URL.canParse(url!)) return expected('host=url pairs such as docker.io=https://mirror.example, without a path');
    (result[host] ??= []).push(url!);
  }
  return value(result);
};

/** Counts a snapshot: `daytona-small=3,daytona-large=1`; `0` is none at all. */
export const counts: Reader<Readonly<Record<string, number>>> = (text) => {
  const wanted = expected('0, or counts such as daytona-small=3,daytona-large=1 (each at most 1000)');
  if (text.trim() === '0' || text.trim() === '') return value({});
  const result: Record<string, number> = {};
  for (const part of text.split(',')) {
    const [, name, digits] = /^\s*([A-Za-z0-9][A-Za-z0-9._/:-]*)\s*=\s*(\d{1,4})\s*$/.exec(part) ?? [];
    if (name === undefined || Number(digits) > 1000) return wanted;
    result[name] = Number(digits);
  }
  return value(result);
};
