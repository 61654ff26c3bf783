import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unpackLayer } from '../src/images/index.ts';
import { TarReader } from '../src/images/unpack/tar-reader.ts';
import { BadLayer, type TarEntry } from '../src/images/unpack/tar-entry.ts';
import { entryBlocks, headerOf, paxBody, sha256, tarOf, type TestEntry } from './image-bed.ts';

/** A layer whose author wishes the runner ill. */
describe('a hostile layer', () => {
  let dir: string;
  let guarded: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'paddock-hostile-'));
    mkdirSync(join(dir, 'layer'));
    guarded = join(dir, 'outside');
    mkdirSync(join(guarded, 'sub'), { recursive: true });
    writeFileSync(join(guarded, 'secret'), 'as it was', { mode: 0o640 });
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const unpack = (bytes: Buffer, { diffId = sha256(bytes), ...over }: { diffId?: string; limits?: { bytes: number; entries: number }; signal?: AbortSignal } = {}) =>
    unpackLayer({ source: Readable.from([bytes]), dir: join(dir, 'layer'), diffId, signal: new AbortController().signal, ...over });
  const refused = (entries: readonly TestEntry[]) => expect(unpack(tarOf(entries))).rejects.toMatchObject({ name: 'Error', message: expect.stringMatching(/^A layer of the image cannot be used: /) });

  /** What is beside the layer, as it must stay. Nothing else follows links of the layer: walking into it would. */
  const outside = (): unknown => {
    const paths = [dir, ...readdirSync(dir).map((name) => join(dir, name)), ...readdirSync(guarded, { recursive: true }).map((name) => join(guarded, String(name)))];
    return paths.map((path) => {
      const { mode, uid, gid, mtimeMs, nlink } = lstatSync(path);
      return path.startsWith(guarded) ? [path, mode, uid, gid, mtimeMs, nlink, path.endsWith('secret') ? readFileSync(path, 'utf8') : ''] : [path];
    });
  };

  it.each<[string, TestEntry[]]>([
    ['a name that leads out', [{ name: '../evil', data: 'x' }]],
    ['a name that leads out and back', [{ name: 'a/../../layer/evil', data: 'x' }]],
    ['a hard link that leads out', [{ name: 'a', type: '1', linkName: '../outside/secret' }]],
    ['a hard link to what is not there', [{ name: 'a', type: '1', linkName: '/etc/passwd' }]],
    ['a hard link to a directory', [{ name: 'd', type: '5' }, { name: 'a', type: '1', linkName: 'd' }]],
    ['a hard link to the root', [{ name: 'a', type: '1', linkName: '/' }]],
    ['a root that is a file', [{ name: '/', data: 'x', type: '7' }]],
    ['a whiteout of the parent', [{ name: 'd', type: '5' }, { name: 'd/.wh...', data: '' }]],
    ['a whiteout of nothing', [{ name: '.wh.' }]],
    ['an id no sandbox has', [{ name: 'a', uid: 65_536 }]],
    ['a negative id', [{ name: 'a', pax: { uid: '-1' } }]],
    ['an id that is no number', [{ name: 'a', pax: { gid: '1e3' } }]],
    ['a file below a file', [{ name: 'a' }, { name: 'a/b' }]],
    ['a type that nobody knows', [{ name: 'a', type: 'Q' }]],
    ['a name with a zero byte', [{ name: 'a', pax: { path: 'a\0b' } }]],
    ['too long a name', [{ name: 'a/'.repeat(2_000) + 'b' }]],
    ['too long a part of a name', [{ name: 'n'.repeat(256) }]],
    ['too deep a tree', [{ name: `${'d/'.repeat(300)}f` }]],
    ['a link to nothing', [{ name: 'a', type: '2', linkName: '' }]],
    ['links in circles', [{ name: 'a', type: '2', linkName: 'b' }, { name: 'b', type: '2', linkName: 'a' }, { name: 'a/f', data: 'x' }]],
    ['depth by links', [{ name: `x/${'d/'.repeat(200)}`, type: '5' }, { name: 's', type: '2', linkName: `x/${'d/'.repeat(200)}` }, { name: `s/${'e/'.repeat(200)}f` }]],
    ['a size beyond bounds', [{ name: 'a', size: 2 ** 52 }]],
    ['a sparse map that overlaps', [{ name: 'a', data: 'xxxxyyyy', pax: { 'GNU.sparse.map': '0,4,2,4', 'GNU.sparse.size': '100' } }]],
    ['a sparse map beyond the file', [{ name: 'a', data: 'xxxx', pax: { 'GNU.sparse.map': '98,4', 'GNU.sparse.size': '100' } }]],
    ['a sparse map that is no list', [{ name: 'a', data: 'xxxx', pax: { 'GNU.sparse.map': 'x,4', 'GNU.sparse.size': '100' } }]],
    ['a large extended attribute', [{ name: 'a', pax: { 'SCHILY.xattr.user.a': 'x'.repeat(100_000) } }]],
    ['a capability that is none', [{ name: 'a', pax: { 'SCHILY.xattr.security.capability': 'x' } }]],
  ])('with %s is refused', async (_, entries) => {
    const before = outside();
    await refused(entries);
    expect(outside()).toEqual(before);
  });

  it('cannot write through links, neither absolute nor relative ones', async () => {
    const before = outside();
    const depth = '../'.repeat(20);
    await unpack(tarOf([
      { name: 'abs', type: '2', linkName: guarded }, { name: 'abs/secret', data: 'evil' },
      { name: 'rel', type: '2', linkName: `${depth}${guarded}` }, { name: 'rel/secret', data: 'evil' },
      { name: 'up', type: '2', linkName: '..' }, { name: 'up/outside/secret', data: 'evil' },
      { name: 'file', type: '2', linkName: join(guarded, 'secret') }, { name: 'file', data: 'evil' },
      { name: 'perm', type: '2', linkName: join(guarded, 'secret') }, { name: 'perm', type: '5', mode: 0o777 },
      { name: 'hard', type: '2', linkName: guarded }, { name: 'stolen', type: '2', linkName: join(guarded, 'secret') },
      { name: 'opq', type: '2', linkName: guarded }, { name: 'opq/.wh..wh..opq' }, { name: 'opq/.wh.secret' },
      { name: 'cwd', type: '2', linkName: '/proc/self/cwd' }, { name: 'cwd/evil', data: 'x' },
      { name: '/absolute', data: 'inside' },
    ]));
    expect(outside()).toEqual(before);
    expect(readFileSync(join(dir, 'layer', guarded, 'secret'), 'utf8')).toBe('evil');
    expect(readFileSync(join(dir, 'layer/file'), 'utf8')).toBe('evil');
    expect(readFileSync(join(dir, 'layer/absolute'), 'utf8')).toBe('inside');
    expect(existsSync('/absolute')).toBe(false);
  });

  it('cannot take a file of the host by a hard link through a link', async () => {
    await refused([{ name: 'l', type: '2', linkName: guarded }, { name: 'got', type: '1', linkName: 'l/secret' }]);
    expect(lstatSync(join(guarded, 'secret')).nlink).toBe(1);
  });

  it('gets no device nodes', async () => {
    await unpack(tarOf([{ name: 'mem', type: '3', mode: 0o666 }, { name: 'disk', type: '4' }, { name: 'whiteout', type: '3' }]));
    expect(readdirSync(join(dir, 'layer'))).toEqual([]);
  });

  it('that unpacks to too much, or to too many files, ends early', async () => {
    const bomb = gzipSync(tarOf([{ name: 'zeros', data: Buffer.alloc(50_000_000) }]));
    await expect(unpack(bomb, { limits: { bytes: 1_000_000, entries: 10 } })).rejects.toThrow(/unpacks to more than/);
    expect(lstatSync(join(dir, 'layer/zeros')).size).toBeLessThanOrEqual(1_000_000);
    rmSync(join(dir, 'layer/zeros'));
    const many = tarOf(Array.from({ length: 200 }, (_, index) => ({ name: `f${index}` })));
    await expect(unpack(many, { limits: { bytes: 1_000_000, entries: 100 } })).rejects.toThrow(/more than 100 files/);
  });

  it.each<[string, (tar: Buffer) => Buffer, RegExp]>([
    ['that is no tar', () => Buffer.alloc(2_000, 'no tar '), /no tar/],
    ['that ends in the middle of a file', (tar) => tar.subarray(0, 700), /ends in the middle/],
    ['that ends in the middle of a header', (tar) => tar.subarray(0, 100), /ends in the middle/],
    ['whose gzip ends in the middle', (tar) => gzipSync(tar).subarray(0, 40), /damaged/],
    ['whose gzip is damaged', (tar) => { const bytes = gzipSync(tar); bytes[20] = bytes[20]! ^ 0xff; return bytes; }, /damaged|no tar|does not hold/],
    ['whose zstd ends in the middle', (tar) => zstdCompressSync(tar).subarray(0, 30), /ends in the middle/],
    ['whose zstd is damaged', (tar) => Buffer.concat([zstdCompressSync(tar), Buffer.from('garbage')]), /damaged|ends in the middle/],
    ['in xz', () => Buffer.from('fd377a585a00', 'hex'), /bzip2 or xz/],
    ['whose header has a wrong checksum', (tar) => { const bytes = Buffer.from(tar); bytes[0] = 1; return bytes; }, /checksum/],
    ['that goes on after its end', (tar) => Buffer.concat([tar.subarray(0, -512), tar]), /follows its end/],
  ])('%s is refused', async (_, damage, message) => {
    const bytes = damage(tarOf([{ name: 'file', data: 'content '.repeat(100) }]));
    await expect(unpack(bytes)).rejects.toThrow(message);
  });

  it('that is not what the configuration vouches for is refused', async () => {
    await expect(unpack(tarOf([{ name: 'a' }]), { diffId: `sha256:${'0'.repeat(64)}` })).rejects.toThrow(/does not hold what the image's configuration says/);
  });

  it('is no longer written once nobody wants it', async () => {
    const stop = new AbortController();
    const endless = new Readable({ read() { this.push(Buffer.alloc(65_536)); } });
    const [header] = entryBlocks({ name: 'endless', size: 2 ** 40 });
    endless.unshift(header);
    const running = unpackLayer({ source: endless, dir: join(dir, 'layer'), diffId: `sha256:${'0'.repeat(64)}`, signal: stop.signal });
    running.catch(() => undefined);
    while (!(lstatSync(join(dir, 'layer/endless'), { throwIfNoEntry: false })?.size ?? 0)) await new Promise((resolve) => setTimeout(resolve, 10));
    stop.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    const { size } = lstatSync(join(dir, 'layer/endless'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(lstatSync(join(dir, 'layer/endless')).size).toBe(size);
  });

  it('of any names and links stays inside, and what it is said to be is there', async () => {
    const part = fc.constantFrom('a', 'b', 'c', '.', '..', '', '.wh.a', '.wh..wh..opq', 'outside', 'layer', 'secret');
    const path = fc.tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 5 })).map(([absolute, parts]) => `${absolute ? '/' : ''}${parts.join('/')}`);
    const target = fc.oneof(path, fc.constantFrom('..', '../..', '../outside', '/', '/etc', 'a/b'), path.map((text) => `../${text}`), fc.constant(null).map(() => join(guarded, 'secret')));
    const entry: fc.Arbitrary<TestEntry> = fc.record({
      name: path, type: fc.constantFrom('0', '0', '1', '2', '2', '5', '5', '6', '3'), linkName: target, data: fc.constantFrom('', 'evil', 'x'.repeat(600)), mode: fc.constantFrom(0o644, 0o4755, 0o777), uid: fc.constantFrom(0, 1000),
    }).map((made) => ('126358'.includes(made.type) ? { ...made, data: '' } : made));
    const before = outside();
    await fc.assert(fc.asyncProperty(fc.array(entry, { maxLength: 12 }), async (entries) => {
      rmSync(join(dir, 'layer'), { recursive: true, force: true });
      mkdirSync(join(dir, 'layer'));
      await unpack(tarOf(entries)).catch((error: Error) => expect(error.message).toMatch(/^A layer of the image cannot be used/));
      expect(outside()).toEqual(before);
    }), { numRuns: Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 60) });
  });

  it('of any bytes is read or refused, and never otherwise', () => {
    const damaged = fc.tuple(fc.array(fc.tuple(fc.nat(4_000), fc.nat(255)), { maxLength: 20 }), fc.nat(4_000), fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }));
    const whole = tarOf([{ name: 'd', type: '5' }, { name: 'a', data: 'x'.repeat(700), pax: { mtime: '1.5', 'SCHILY.xattr.user.a': 'b' } }, { name: 's', data: 'xxxx', pax: { 'GNU.sparse.map': '4,4', 'GNU.sparse.size': '10' } }]);
    fc.assert(fc.property(damaged, ([changes, cut, sizes]) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const entries: TarEntry[] = [];
      let given = 0;
      const reader = new TarReader({ entry: (entry) => entries.push(entry), data: (piece) => (given += piece.length), done: () => undefined });
      try {
        for (let at = 0, index = 0; at < bytes.length - cut; index += 1) {
          const size = sizes[index % sizes.length]!;
          reader.push(bytes.subarray(at, Math.min(at + size, bytes.length - cut)));
          at += size;
        }
        reader.end();
      } catch (error) {
        expect(error).toBeInstanceOf(BadLayer);
      }
      expect(given).toBeLessThanOrEqual(bytes.length);
    }), { numRuns: Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 2_000) });
  });

  it('is read the same in whatever pieces it comes', () => {
    const whole = tarOf([{ name: 'n'.repeat(150), data: 'x'.repeat(1_300) }, { name: 'l', type: '2', linkName: 't'.repeat(200) }, { name: 's', data: 'xxxxyy', pax: { 'GNU.sparse.map': '4,4,100,2', 'GNU.sparse.size': '102' } }]);
    const read = (sizes: readonly number[]): unknown => {
      const seen: unknown[] = [];
      let data: Array<[number, number]> = [];
      const reader = new TarReader({ entry: (entry) => seen.push({ ...entry, xattrs: [...entry.xattrs] }), data: (piece, at) => data.push([at, piece.length]), done: () => { seen.push(data.reduce((sum, [, length]) => sum + length, 0), data[0]?.[0], data.at(-1)?.reduce((a, b) => a + b)); data = []; } });
      for (let at = 0, index = 0; at < whole.length; at += sizes[index++ % sizes.length]!) reader.push(whole.subarray(at, at + sizes[index % sizes.length]!));
      reader.end();
      return seen;
    };
    const expected = read([whole.length]);
    fc.assert(fc.property(fc.integer({ min: 1, max: 1_500 }), (size) => {
      expect(read([size])).toEqual(expected);
    }), { numRuns: 100 });
  });

  it('with a GNU sparse file and names of GNU tar is understood', async () => {
    const header = headerOf({ name: Buffer.from('s'), type: 'S', linkName: Buffer.alloc(0), mode: 0o600, uid: 0, gid: 0, mtime: 0, size: 8 });
    header.write('ustar  \0', 257, 'latin1');
    const number = (value: number, at: number): void => void header.write(value.toString(8).padStart(11, '0'), at, 'latin1');
    [[386, 4], [398, 4], [410, 65_536], [422, 4], [483, 70_000]].forEach(([at, value]) => number(value!, at!));
    [[386, 4], [398, 4]].forEach(([at, value]) => number(value!, at!));
    header.fill(' ', 148, 156);
    header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const name = Buffer.from(`${'long/'.repeat(30)}name\0`);
    const long = headerOf({ name: Buffer.from('././@LongLink'), type: 'L', linkName: Buffer.alloc(0), mode: 0, uid: 0, gid: 0, mtime: 0, size: name.length });
    const bytes = Buffer.concat([header, Buffer.from('headtail'), Buffer.alloc(504), long, name, Buffer.alloc(512 - name.length % 512), ...entryBlocks({ name: 'short', data: 'long' }), Buffer.alloc(1024)]);
    await unpack(bytes);
    const sparse = readFileSync(join(dir, 'layer/s'));
    expect([sparse.length, sparse.toString('latin1', 4, 8), sparse.toString('latin1', 65_536, 65_540)]).toEqual([70_000, 'head', 'tail']);
    expect(readFileSync(join(dir, `layer/${'long/'.repeat(30)}name`), 'utf8')).toBe('long');
    expect(paxBody({ a: 'b' }).toString()).toBe('6 a=b\n');
  });
});
