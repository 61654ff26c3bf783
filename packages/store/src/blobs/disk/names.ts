import { join } from 'node:path';

/**
 * Keys as file names. A key is handled as its UTF-8 bytes, one character a byte ("byte text"): JavaScript's own order of such strings is
 * then the order of the bytes, and any key can be cut anywhere. `/` becomes a directory. The first letter of a name says what it is:
 *
 * - `f<segment>` a blob, the end of a key;
 * - `d<segment>` a directory: the key goes on after a `/`;
 * - `l<120 bytes>` a directory: the segment itself goes on.
 *
 * So `a` and `a/b` can both exist, and empty segments, `.` and `..` are names like others. A byte of 0x80 and more takes two bytes
 * in a file name: 120 of them and the letter stay below the 255 that file systems allow.
 */
export type ByteText = string;

export const CHUNK = 120;

export const toBytes = (text: string): ByteText => Buffer.from(text, 'utf8').toString('latin1');
export const toText = (bytes: ByteText): string => Buffer.from(bytes, 'latin1').toString('utf8');

/** @returns path below `tree` of the blob's file */
export function pathOfKey(tree: string, key: ByteText): string {
  const segments = key.split('/');
  const last = segments.pop() ?? '';
  const { directory, rest } = cut(last);
  return join(tree, ...segments.flatMap((segment) => directories(segment)), ...directory, `f${rest}`);
}

/** The deepest directory that holds every key with the prefix. @returns its path, the part of the keys it stands for, the rest of the prefix */
export function directoryOfPrefix(tree: string, prefix: ByteText): { path: string; base: ByteText; rest: ByteText } {
  const segments = prefix.split('/');
  const { directory, rest } = cut(segments.pop() ?? '');
  const path = join(tree, ...segments.flatMap((segment) => directories(segment)), ...directory);
  return { path, base: prefix.slice(0, prefix.length - rest.length), rest };
}

function directories(segment: ByteText): string[] {
  const { directory, rest } = cut(segment);
  return [...directory, `d${rest}`];
}

function cut(segment: ByteText): { directory: string[]; rest: ByteText } {
  const directory: string[] = [];
  let rest = segment;
  for (; rest.length >= CHUNK; rest = rest.slice(CHUNK)) directory.push(`l${rest.slice(0, CHUNK)}`);
  return { directory, rest };
}

/** What a name in a directory adds to the key. Sorting by it is sorting by key: nothing in a `d` or `l` sorts outside of its place. */
export function sortKey(name: string): ByteText {
  return name.startsWith('d') ? `${name.slice(1)}/` : name.slice(1);
}
