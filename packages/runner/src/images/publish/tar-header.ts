/** Header blocks of a tar in the POSIX format, the same bytes for the same entry. Names are bytes, one to a character. */
import { BLOCK } from '../unpack/tar-header.ts';
import type { EntryType, Segment, TarEntry } from '../unpack/tar-entry.ts';

/** As an entry that is read, with a time to the nanosecond and without devices. */
export interface WrittenEntry extends Omit<TarEntry, 'type' | 'linkName' | 'mtime'> {
  readonly type: Exclude<EntryType, 'char' | 'block'>;
  readonly linkName?: string;
  /** Nanoseconds. */
  readonly mtime: bigint;
}

const TYPE: Readonly<Record<WrittenEntry['type'], string>> = { file: '0', hardlink: '1', symlink: '2', directory: '5', fifo: '6' };

const NAME_BYTES = 100;
/** What eleven octal digits hold. */
const MAX_SIZE = 8 ** 11 - 1;
const SECOND = 1_000_000_000n;

/** All that comes before the data of an entry: extensions, header, map of a sparse file. */
export function entryBlocks(entry: WrittenEntry): Buffer {
  const { type, name, linkName = '', mtime, segments, size, xattrs } = entry;
  const map = segments === null ? Buffer.alloc(0) : mapBlocks(segments, size);
  const stored = map.length + dataBytes(entry);
  const seconds = mtime < 0n ? 0n : mtime / SECOND;
  const records: Array<readonly [string, Buffer]> = [];
  const text = (key: string, value: string): number => records.push([key, Buffer.from(value, 'latin1')]);
  if (segments !== null) {
    text('GNU.sparse.major', '1');
    text('GNU.sparse.minor', '0');
    text('GNU.sparse.name', name);
    text('GNU.sparse.realsize', String(size));
  } else if (name.length > NAME_BYTES) text('path', name);
  if (linkName.length > NAME_BYTES) text('linkpath', linkName);
  if (stored > MAX_SIZE) text('size', String(stored));
  if (mtime > 0n && mtime % SECOND !== 0n) text('mtime', `${seconds}.${String(mtime % SECOND).padStart(9, '0')}`);
  for (const [key, value] of [...xattrs].sort(([one], [other]) => (one < other ? -1 : 1))) records.push([`SCHILY.xattr.${key}`, value]);
  const header = headerBlock(TYPE[type], name.slice(0, NAME_BYTES), linkName.slice(0, NAME_BYTES), { ...entry, size: stored > MAX_SIZE ? 0 : stored, seconds });
  if (records.length === 0) return header;
  const body = Buffer.concat(records.map(paxRecord));
  const extension = headerBlock('x', 'pax', '', { mode: 0o644, uid: 0, gid: 0, size: body.length, seconds: 0n });
  return Buffer.concat([extension, body, padding(body.length), header, map]);
}

/** Bytes of data that follow the blocks. */
export function dataBytes({ type, segments, size }: Pick<WrittenEntry, 'type' | 'segments' | 'size'>): number {
  if (type !== 'file') return 0;
  return segments === null ? size : segments.reduce((sum, { length }) => sum + length, 0);
}

export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** GNU, version 1.0: numbers in lines, at the front of the data. The last segment says where the file ends. */
function mapBlocks(segments: readonly Segment[], size: number): Buffer {
  const all = [...segments, { offset: size, length: 0 }];
  const text = Buffer.from(`${[all.length, ...all.flatMap(({ offset, length }) => [offset, length])].join('\n')}\n`);
  return Buffer.concat([text, padding(text.length)]);
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord([key, value]: readonly [string, Buffer]): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

interface Fields {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: bigint;
}

function headerBlock(type: string, name: string, linkName: string, { mode, uid, gid, size, seconds }: Fields): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number | bigint, at: number, digits: number): void => void block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  block.write(name, 0, 'latin1');
  octal(mode & 0o7777, 100, 7);
  octal(uid, 108, 7);
  octal(gid, 116, 7);
  octal(size, 124, 11);
  octal(seconds > BigInt(MAX_SIZE) ? MAX_SIZE : seconds, 136, 11);
  block.fill(' ', 148, 156);
  block.write(type, 156, 'latin1');
  block.write(linkName, 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
