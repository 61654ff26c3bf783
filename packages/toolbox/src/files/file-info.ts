import type { BigIntStats } from 'node:fs';

/** Wire: what the API tells about one file. */
export interface FileInfo {
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
  readonly size: number;
  /** Go's FileMode text, such as `-rw-r--r--`, `drwxr-xr-x`, `Lrwxrwxrwx`, `dtrwxrwxrwx`. */
  readonly mode: string;
  /** Go's default print of a time, in the zone of the sandbox. Deprecated on the wire. */
  readonly modTime: string;
  /** RFC 3339 in UTC, with nanoseconds. */
  readonly modifiedAt: string;
  readonly isDir: boolean;
  /** Numeric ids as text. */
  readonly owner: string;
  readonly group: string;
  /** The low nine bits as four octal digits. */
  readonly permissions: string;
}

export function fileInfo(name: string, path: string, stat: BigIntStats): FileInfo {
  const bits = Number(stat.mode & 0o777n);
  return {
    name,
    path,
    size: Number(stat.size),
    mode: typeLetters(stat) + permissionLetters(bits),
    modTime: goTime(stat.mtimeNs),
    modifiedAt: rfc3339(stat.mtimeNs),
    isDir: stat.isDirectory(),
    owner: String(stat.uid),
    group: String(stat.gid),
    permissions: bits.toString(8).padStart(4, '0'),
  };
}

function typeLetters(stat: BigIntStats): string {
  const mode = Number(stat.mode);
  const kind = [
    stat.isDirectory() && 'd',
    stat.isSymbolicLink() && 'L',
    (stat.isBlockDevice() || stat.isCharacterDevice()) && 'D',
    stat.isFIFO() && 'p',
    stat.isSocket() && 'S',
    (mode & 0o4000) !== 0 && 'u',
    (mode & 0o2000) !== 0 && 'g',
    stat.isCharacterDevice() && 'c',
    (mode & 0o1000) !== 0 && 't',
  ];
  return kind.filter((letter) => letter !== false).join('') || '-';
}

function permissionLetters(bits: number): string {
  return [...'rwxrwxrwx'].map((letter, at) => ((bits & (1 << (8 - at))) === 0 ? '-' : letter)).join('');
}

const SECOND_NS = 1_000_000_000n;

function rfc3339(ns: bigint): string {
  return `${wallClock(new Date(seconds(ns) * 1000), 'T')}${fraction(ns)}Z`;
}

function goTime(ns: bigint): string {
  const at = new Date(seconds(ns) * 1000);
  const offset = -at.getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const zone = sign + [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) => String(part).padStart(2, '0')).join('');
  return `${wallClock(new Date(at.getTime() + offset * 60_000), ' ')}${fraction(ns)} ${zone} ${offset === 0 ? 'UTC' : zone}`;
}

/** Date and time to the second of a date that was already moved to its zone. */
function wallClock(at: Date, separator: string): string {
  return at.toISOString().slice(0, 19).replace('T', separator);
}

function seconds(ns: bigint): number {
  const floor = ns / SECOND_NS - (ns % SECOND_NS < 0n ? 1n : 0n);
  // Beyond the years 0 to 9999, which a file system may hold, no calendar text of the wire exists.
  return Math.min(Math.max(Number(floor), -62_167_219_200), 253_402_300_799);
}

/** Fraction of a second without trailing zeros, with its point; empty when there is none. */
function fraction(ns: bigint): string {
  const part = ((ns % SECOND_NS) + SECOND_NS) % SECOND_NS;
  return part === 0n ? '' : `.${part.toString().padStart(9, '0').replace(/0+$/, '')}`;
}
