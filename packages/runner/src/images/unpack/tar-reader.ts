/** Reads a tar as it comes in, without a copy of its data: the sink gets entries and pieces of data in order, synchronously. */
import { BadLayer, shown, type EntryType, type Segment, type TarEntry } from './tar-entry.ts';
import { BLOCK, decimal, isZero, parseHeader, parsePax, readSparse, sparseSize, type Header } from './tar-header.ts';

export interface TarSink {
  entry(entry: TarEntry): void;
  /** @param at offset in the file */
  data(piece: Buffer, at: number): void;
  /** The entry is complete. */
  done(): void;
}

/** Extended headers of real images have some kilobytes: long names and extended attributes. */
const MAX_EXTENSION = 1024 ** 2;
const MAX_SEGMENTS = 100_000;
/** A file larger than this is a hole with an end. */
export const MAX_FILE = 2 ** 43;

const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file', '\0': 'file', '7': 'file', S: 'file', '1': 'hardlink', '2': 'symlink', '3': 'char', '4': 'block', '5': 'directory', '6': 'fifo',
};

/** Extensions for the next entry. */
interface Extensions {
  name?: string;
  linkName?: string;
  pax: Array<readonly [string, Buffer]>;
}

type State = 'header' | 'extension' | 'gnu-map' | 'pax-map' | 'data' | 'padding' | 'zeros' | 'end';

export class TarReader {
  readonly #sink: TarSink;
  #state: State = 'header';
  /** What waits to become a whole block. */
  readonly #partial = Buffer.alloc(BLOCK);
  #filled = 0;
  #left = 0;
  #padding = 0;
  #extension: { readonly type: string; readonly chunks: Buffer[] } | null = null;
  #extensions: Extensions = { pax: [] };
  #header: Header | null = null;
  #segments: Segment[] | null = null;
  #gnuSize = 0;
  /** Text of a sparse map that comes with the data. */
  #mapText = '';
  #mapLines = 0;
  #segment = 0;
  #at = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      switch (this.#state) {
        case 'data': rest = this.#data(rest); break;
        case 'extension': rest = this.#collect(rest); break;
        case 'padding': rest = this.#skip(rest); break;
        case 'end': return;
        default: rest = this.#block(rest);
      }
    }
  }

  /** The last byte was given. */
  end(): void {
    const whole = this.#filled === 0 && (this.#state === 'header' || this.#state === 'zeros');
    if (this.#state !== 'end' && !whole) throw new BadLayer('it ends in the middle');
  }

  #block(chunk: Buffer): Buffer {
    let block: Buffer;
    let rest: Buffer;
    if (this.#filled === 0 && chunk.length >= BLOCK) {
      block = chunk.subarray(0, BLOCK);
      rest = chunk.subarray(BLOCK);
    } else {
      const taken = Math.min(BLOCK - this.#filled, chunk.length);
      chunk.copy(this.#partial, this.#filled, 0, taken);
      this.#filled += taken;
      rest = chunk.subarray(taken);
      if (this.#filled < BLOCK) return rest;
      this.#filled = 0;
      block = this.#partial;
    }
    if (this.#state === 'header') this.#headerBlock(block);
    else if (this.#state === 'zeros') this.#secondZeros(block);
    else if (this.#state === 'gnu-map') this.#gnuMapBlock(block);
    else this.#paxMapBlock(block);
    return rest;
  }

  #headerBlock(block: Buffer): void {
    if (isZero(block)) {
      this.#state = 'zeros';
      return;
    }
    const header = parseHeader(block);
    if ('xgLKX'.includes(header.type)) return this.#beginExtension(header);
    this.#header = header;
    this.#segments = null;
    if (header.type === 'S') {
      this.#segments = [];
      this.#gnuSize = sparseSize(block);
      if (readSparse(block, false, this.#segments)) {
        this.#state = 'gnu-map';
        return;
      }
    }
    this.#begin();
  }

  #secondZeros(block: Buffer): void {
    if (!isZero(block)) throw new BadLayer('it is no tar: something follows its end');
    this.#state = 'end';
  }

  #gnuMapBlock(block: Buffer): void {
    const more = readSparse(block, true, this.#segments!);
    if (this.#segments!.length > MAX_SEGMENTS) throw new BadLayer('a file has too many holes');
    if (!more) this.#begin();
  }

  #beginExtension({ type, size }: Header): void {
    if (size < 0 || size > MAX_EXTENSION) throw new BadLayer(`an extended header has ${size} bytes; ${MAX_EXTENSION} are the most`);
    this.#extension = { type, chunks: [] };
    this.#left = size;
    this.#padding = paddingOf(size);
    this.#state = 'extension';
    if (size === 0) this.#endExtension();
  }

  #collect(chunk: Buffer): Buffer {
    const taken = Math.min(this.#left, chunk.length);
    this.#extension!.chunks.push(Buffer.from(chunk.subarray(0, taken)));
    this.#left -= taken;
    if (this.#left === 0) this.#endExtension();
    return chunk.subarray(taken);
  }

  #endExtension(): void {
    const { type, chunks } = this.#extension!;
    const body = Buffer.concat(chunks);
    this.#extension = null;
    if (type === 'L') this.#extensions.name = untilZero(body);
    else if (type === 'K') this.#extensions.linkName = untilZero(body);
    else if (type === 'x' || type === 'X') this.#extensions.pax = parsePax(body);
    // A global header ('g') says nothing of files in any layer that is built today.
    this.#pad();
  }

  /** Header and extensions of an entry are complete. */
  #begin(): void {
    const header = this.#header!;
    const pax = new Map(this.#extensions.pax);
    const type = this.#typeOf(header);
    const hasData = type === 'file';
    const stored = hasData ? pax.has('size') ? decimal(pax.get('size')!, 'a size') : header.size : 0;
    if (stored < 0 || !Number.isSafeInteger(stored)) throw new BadLayer('it is no tar: a size is wrong');
    this.#left = stored;
    this.#padding = paddingOf(stored);
    if (hasData && this.#segments === null) {
      if (pax.get('GNU.sparse.major')?.toString() === '1') {
        this.#segments = [];
        this.#mapText = '';
        this.#mapLines = 0;
        this.#state = 'pax-map';
        return;
      }
      this.#segments = paxSegments(this.#extensions.pax);
    }
    this.#open();
  }

  /** A map of version 1.0 is text in the first blocks of the data: the number of segments, then offset and length of each. */
  #paxMapBlock(block: Buffer): void {
    if (this.#left < BLOCK) throw new BadLayer('it is no tar: a sparse map is cut short');
    this.#left -= BLOCK;
    const text = block.toString('latin1');
    this.#mapText += text;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#mapLines += 1;
    if (this.#mapLines === 0) throw new BadLayer('it is no tar: a sparse map is wrong');
    const count = Number.parseInt(this.#mapText.slice(0, 12), 10);
    if (!(count >= 0 && count <= MAX_SEGMENTS) || this.#mapText.length > MAX_SEGMENTS * 32) throw new BadLayer('it is no tar: a sparse map is wrong');
    if (this.#mapLines <= count * 2) return;
    const numbers = this.#mapText.split('\n').slice(1, 1 + count * 2).map(Number);
    this.#segments = Array.from({ length: count }, (_, index) => ({ offset: numbers[index * 2]!, length: numbers[index * 2 + 1]! }));
    this.#mapText = '';
    this.#open();
  }

  #open(): void {
    const entry = this.#entryOf(this.#header!);
    if (entry.segments !== null) checkSegments(entry, this.#left);
    this.#segments = entry.segments === null ? null : [...entry.segments];
    this.#extensions = { pax: [] };
    this.#segment = 0;
    this.#at = entry.segments?.[0]?.offset ?? 0;
    this.#sink.entry(entry);
    this.#state = 'data';
    if (this.#left === 0) this.#finish();
  }

  #data(chunk: Buffer): Buffer {
    let taken = Math.min(this.#left, chunk.length);
    if (this.#segments !== null) {
      while (this.#at === endOf(this.#segments[this.#segment]!)) {
        this.#segment += 1;
        this.#at = this.#segments[this.#segment]!.offset;
      }
      taken = Math.min(taken, endOf(this.#segments[this.#segment]!) - this.#at);
    }
    this.#sink.data(chunk.subarray(0, taken), this.#at);
    this.#at += taken;
    this.#left -= taken;
    if (this.#left === 0) this.#finish();
    return chunk.subarray(taken);
  }

  #finish(): void {
    this.#sink.done();
    this.#pad();
  }

  #pad(): void {
    this.#left = this.#padding;
    this.#state = this.#left > 0 ? 'padding' : 'header';
  }

  #skip(chunk: Buffer): Buffer {
    const taken = Math.min(this.#left, chunk.length);
    this.#left -= taken;
    if (this.#left === 0) this.#state = 'header';
    return chunk.subarray(taken);
  }

  #typeOf({ type, name }: Header): EntryType {
    const known = TYPES[type];
    if (known === undefined) throw new BadLayer(`it has an entry of the unknown type ${JSON.stringify(type)} (${shown(name)})`);
    const own = this.#extensions.name ?? name;
    // Before POSIX a directory was a file whose name ends so.
    return known === 'file' && own.endsWith('/') ? 'directory' : known;
  }

  #entryOf(header: Header): TarEntry {
    const { name, linkName, pax } = this.#extensions;
    let entry = { name: name ?? header.name, linkName: linkName ?? header.linkName, uid: header.uid, gid: header.gid, mtime: header.mtime };
    const xattrs = new Map<string, Buffer>();
    let sparseName: string | null = null;
    let realSize: number | null = header.type === 'S' ? this.#gnuSize : null;
    for (const [key, value] of pax) {
      switch (key) {
        case 'path': entry = { ...entry, name: textOf(value) }; break;
        case 'linkpath': entry = { ...entry, linkName: textOf(value) }; break;
        case 'uid': entry = { ...entry, uid: decimal(value, 'an id') }; break;
        case 'gid': entry = { ...entry, gid: decimal(value, 'an id') }; break;
        case 'mtime': entry = { ...entry, mtime: decimal(value, 'a time') }; break;
        case 'GNU.sparse.name': sparseName = textOf(value); break;
        case 'GNU.sparse.realsize':
        case 'GNU.sparse.size': realSize = decimal(value, 'a size'); break;
        default: if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice('SCHILY.xattr.'.length), Buffer.from(value));
      }
    }
    const type = this.#typeOf(header);
    const size = this.#segments === null ? this.#left : realSize ?? 0;
    if (!Number.isSafeInteger(size) || size < 0 || size > MAX_FILE) throw new BadLayer(`${shown(entry.name)} has a size that is out of bounds`);
    return { ...entry, name: sparseName ?? entry.name, type, mode: header.mode & 0o7777, size: type === 'file' ? size : 0, segments: type === 'file' ? this.#segments : null, xattrs };
  }
}

/** Maps of the versions 0.0 (a record each) and 0.1 (one record). */
function paxSegments(pax: ReadonlyArray<readonly [string, Buffer]>): Segment[] | null {
  const numbers: number[] = [];
  let sparse = false;
  for (const [key, value] of pax) {
    if (key === 'GNU.sparse.numblocks' || key === 'GNU.sparse.size') sparse = true;
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') numbers.push(decimal(value, 'a sparse map'));
    if (key === 'GNU.sparse.map') {
      sparse = true;
      if (value.length > 0) numbers.push(...value.toString('latin1').split(',').map(Number));
    }
  }
  if (!sparse) return null;
  if (numbers.length > MAX_SEGMENTS * 2 || numbers.length % 2 !== 0) throw new BadLayer('it is no tar: a sparse map is wrong');
  return Array.from({ length: numbers.length / 2 }, (_, index) => ({ offset: numbers[index * 2]!, length: numbers[index * 2 + 1]! }));
}

/** Ascending, within the file, and as much as there is data. */
function checkSegments({ segments, size, name }: TarEntry, stored: number): void {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of segments!) {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length < 0 || offset < end || offset + length > size) {
      throw new BadLayer(`${shown(name)} has a sparse map that is wrong`);
    }
    end = offset + length;
    sum += length;
  }
  if (sum !== stored) throw new BadLayer(`${shown(name)} has a sparse map that is wrong`);
}

function endOf({ offset, length }: Segment): number {
  return offset + length;
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function untilZero(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString('latin1', 0, end < 0 ? body.length : end);
}

function textOf(value: Buffer): string {
  return value.toString('latin1');
}
