import type { Stats } from 'node:fs';
import { type Field, large, number, type Reader } from './packet.ts';

const HAS = { size: 1, owner: 2, mode: 4, times: 8, extended: 0x80000000 } as const;

/** What a client names of a file; null: left as it is. */
export interface Wanted {
  readonly size: number | null;
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  /** Permission bits only. */
  readonly mode: number | null;
  /** Seconds since 1970. */
  readonly times: { readonly access: number; readonly change: number } | null;
}

export function attributesOf(stats: Stats): Field {
  const seconds = (ms: number): Field => number(Math.max(0, Math.floor(ms / 1000)));
  return Buffer.concat([
    number(HAS.size | HAS.owner | HAS.mode | HAS.times), large(stats.size), number(stats.uid), number(stats.gid), number(stats.mode),
    seconds(stats.atimeMs), seconds(stats.mtimeMs),
  ]);
}

export const NO_ATTRIBUTES: Field = number(0);

export function wantedOf(reader: Reader): Wanted {
  const flags = reader.number();
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const wanted = {
    size: has(HAS.size) ? reader.large() : null,
    owner: has(HAS.owner) ? { uid: reader.number(), gid: reader.number() } : null,
    mode: has(HAS.mode) ? reader.number() & 0o7777 : null,
    times: has(HAS.times) ? { access: reader.number(), change: reader.number() } : null,
  };
  if (has(HAS.extended)) for (let left = reader.number(); left > 0; left--) void [reader.string(), reader.string()];
  return wanted;
}

const KINDS: Readonly<Record<number, string>> = { 0o040000: 'd', 0o120000: 'l', 0o020000: 'c', 0o060000: 'b', 0o010000: 'p', 0o140000: 's' };
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
const HALF_YEAR_MS = 182 * 24 * 3600 * 1000;

/** The line that `ls -l` would show: clients print it as it is. */
export function longName(name: Buffer, stats: Stats): Buffer {
  const bits = [...'rwxrwxrwx'].map((letter, at) => ((stats.mode & (0o400 >> at)) !== 0 ? letter : '-'));
  for (const [bit, at, letter] of [[0o4000, 2, 's'], [0o2000, 5, 's'], [0o1000, 8, 't']] as const) {
    if ((stats.mode & bit) !== 0) bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase();
  }
  const date = stats.mtime;
  const old = Math.abs(Date.now() - stats.mtimeMs) > HALF_YEAR_MS;
  const two = (value: number): string => String(value).padStart(2, '0');
  const when = `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${old ? String(date.getFullYear()).padStart(5) : `${two(date.getHours())}:${two(date.getMinutes())}`}`;
  const words = `${KINDS[stats.mode & 0o170000] ?? '-'}${bits.join('')} ${String(stats.nlink).padStart(4)} ${String(stats.uid).padEnd(8)} ${String(stats.gid).padEnd(8)} ${String(stats.size).padStart(8)} ${when} `;
  return Buffer.concat([Buffer.from(words), name]);
}
