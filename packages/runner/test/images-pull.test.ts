import { lstatSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { getXattr } from '../src/sys/index.ts';
import { ImageBed, MemoryRegistry, imageOf, tarOf } from './image-bed.ts';

const dir = (name: string, over = {}) => ({ name, type: '5', ...over });

describe('an image pulled from a registry', () => {
  let bed: ImageBed;
  let registry: MemoryRegistry;

  beforeAll(async () => {
    bed = await new ImageBed().open();
    registry = await MemoryRegistry.start();
  });
  afterEach(async () => {
    for (const { name } of bed.images.list()) await bed.images.remove(name);
  });
  afterAll(async () => {
    await bed.dispose();
    await registry.stop();
  });

  const top = (name: string, path: string): string => join(bed.images.get(name)!.layers[0]!, path);

  it('has files with owner, mode, time, links, holes and attributes as in its layers', async () => {
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex'); // cap_net_bind_service
    const reference = registry.add('files', imageOf([tarOf([
      dir('./', { mode: 0o755 }),
      dir('bin/'), { name: 'bin/tool', data: 'x'.repeat(3000), mode: 0o4755, uid: 65535, gid: 5, mtime: 1_600_000_000 },
      { name: 'bin/hard', type: '1', linkName: 'bin/tool' }, { name: 'bin/soft', type: '2', linkName: '/etc/../bin/tool', uid: 7 },
      dir('tmp', { mode: 0o1777, mtime: 1_500_000_000 }), { name: `tmp/${'long/'.repeat(40)}name`, data: 'deep' },
      { name: 'ping', data: 'p', pax: { 'SCHILY.xattr.security.capability': capability, 'SCHILY.xattr.user.note': 'here', 'SCHILY.xattr.trusted.overlay.opaque': 'y' } },
      { name: 'fifo', type: '6', mode: 0o600 }, { name: 'dev/null', type: '3' },
      { name: 'sparse', data: Buffer.concat([Buffer.from('2\n0\n4\n1048572\n4\n'.padEnd(512, '\0')), Buffer.from('headtail')]), pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'holes', 'GNU.sparse.realsize': '1048576' } },
      { name: 'caf\u00e9', data: 'utf8' },
      ...[0o666, 0o777, 0o444, 0o000, 0o2755, 0o6777].map((mode) => ({ name: `modes/${mode.toString(8)}`, data: 'm', mode, uid: 1000, gid: 1000 })),
    ])], { config: { Env: ['A=1', 'PATH=/bin'], WorkingDir: '/bin', Entrypoint: ['/bin/tool'], Cmd: ['x'], User: '65535:5', Labels: { a: 'b' } } }));
    const image = await bed.pull('files', reference);
    expect(image.reason).toBeUndefined();
    expect(image).toMatchObject({ state: 'ready', config: { entrypoint: ['/bin/tool'], cmd: ['x'], workDir: '/bin', user: '65535:5' } });
    expect(bed.images.get('files')!.config).toMatchObject({ env: ['A=1', 'PATH=/bin'], labels: { a: 'b' } });
    expect(lstatSync(top('files', 'bin/tool'))).toMatchObject({ uid: 65535, gid: 5, mode: 0o104755, mtimeMs: 1_600_000_000_000, nlink: 2, size: 3000 });
    for (const name of readdirSync(top('files', 'modes'))) expect(lstatSync(top('files', `modes/${name}`)), name).toMatchObject({ mode: 0o100000 | Number.parseInt(name, 8), uid: 1000, gid: 1000 });
    expect(lstatSync(top('files', 'bin/hard')).ino).toBe(lstatSync(top('files', 'bin/tool')).ino);
    expect(readlinkSync(top('files', 'bin/soft'))).toBe('/etc/../bin/tool');
    expect(lstatSync(top('files', 'bin/soft')).uid).toBe(7);
    expect(lstatSync(top('files', 'tmp'))).toMatchObject({ mode: 0o41777, mtimeMs: 1_500_000_000_000 });
    expect(readFileSync(top('files', `tmp/${'long/'.repeat(40)}name`), 'utf8')).toBe('deep');
    expect(getXattr(top('files', 'ping'), 'security.capability')!.subarray(0, 8)).toEqual(capability.subarray(0, 8));
    expect(getXattr(top('files', 'ping'), 'user.note')!.toString()).toBe('here');
    expect(getXattr(top('files', 'ping'), 'trusted.overlay.opaque')).toBeNull();
    expect(lstatSync(top('files', 'fifo')).isFIFO()).toBe(true);
    expect(statSync(top('files', 'dev'), { throwIfNoEntry: false })?.isDirectory()).toBe(true);
    expect(lstatSync(top('files', 'dev/null'), { throwIfNoEntry: false })).toBeUndefined();
    const sparse = lstatSync(top('files', 'holes'));
    expect(sparse.size).toBe(1_048_576);
    expect(sparse.blocks * 512).toBeLessThan(65_536);
    expect(readFileSync(top('files', 'holes')).subarray(-4).toString()).toBe('tail');
    expect(readFileSync(top('files', 'caf\u00e9'), 'utf8')).toBe('utf8');
    expect(statSync(top('files', 'bin/tool')).ino).toBeGreaterThanOrEqual(2 ** 31);
  });

  it('shows in the overlay what whiteouts and opaque directories leave', async () => {
    const reference = registry.add('whiteouts', imageOf([
      tarOf([dir('a'), { name: 'a/kept', data: '1' }, { name: 'a/gone', data: '1' }, dir('b'), { name: 'b/hidden', data: '1' }, dir('c'), { name: 'c/old', data: '1' }, { name: 'd', data: 'file' }]),
      tarOf([dir('a'), { name: 'a/.wh.gone' }, dir('b'), { name: 'b/.wh..wh..opq' }, { name: 'b/new', data: '2' }, { name: '.wh.c' }, dir('c'), { name: 'c/new', data: '2' }, dir('d'), { name: '.wh..wh.plnk' }]),
    ]));
    expect(await bed.pull('whiteouts', reference)).toMatchObject({ state: 'ready' });
    const slot = await bed.storage.slot();
    await bed.disks.create('box', 1024 ** 3);
    const root = await bed.disks.mount('box', bed.images.get('whiteouts')!.layers, slot);
    expect(execFileSync('find', ['.', '-mindepth', '1'], { cwd: root, encoding: 'utf8' }).trim().split('\n').sort()).toEqual(['./a', './a/kept', './b', './b/new', './c', './c/new', './d']);
    await bed.disks.destroy('box');
  });

  it('takes layers in gzip, also of several members as for lazy pulling, zstd of several frames, and plain', async () => {
    const tar = tarOf([{ name: 'big', data: Buffer.alloc(3_000_000, 'abc') }, { name: 'end', data: 'here' }]);
    const skippable = Buffer.concat([Buffer.from('502a4d1805000000', 'hex'), Buffer.alloc(5)]);
    const frames = Buffer.concat([zstdCompressSync(tar.subarray(0, 1_000_003)), skippable, zstdCompressSync(tar.subarray(1_000_003)), skippable]);
    const kinds = {
      zstd: imageOf([tar], { compress: () => frames, layerType: 'application/vnd.oci.image.layer.v1.tar+zstd' }),
      plain: imageOf([Buffer.concat([tar, Buffer.alloc(512)])], { compress: (bytes) => bytes, layerType: 'application/vnd.oci.image.layer.v1.tar' }),
      gzip: imageOf([Buffer.concat([tar, Buffer.alloc(1024)])]),
      members: imageOf([tar], { compress: () => Buffer.concat([tar.subarray(0, 700_001), tar.subarray(700_001), Buffer.alloc(0)].map((part) => gzipSync(part, { level: 0 }))) }),
    };
    for (const [kind, image] of Object.entries(kinds)) {
      expect(await bed.pull(kind, registry.add(kind, image)), kind).toMatchObject({ state: 'ready', sizeBytes: 3_000_004 });
      expect(readFileSync(top(kind, 'end'), 'utf8')).toBe('here');
      expect(readFileSync(top(kind, 'big'))).toEqual(Buffer.alloc(3_000_000, 'abc'));
    }
  });

  it('shares layers, and fetches one that two images want at once only once', async () => {
    const base = tarOf([{ name: 'base', data: Buffer.alloc(2_000_000, 7) }]);
    const [one, two] = [imageOf([base, tarOf([{ name: 'one' }])]), imageOf([base, tarOf([{ name: 'two' }])])];
    const references = [registry.add('shared/one', one), registry.add('shared/two', two)];
    const images = await Promise.all(references.map((reference, index) => bed.pull(`shared-${index}`, reference)));
    expect(images.map(({ state }) => state)).toEqual(['ready', 'ready']);
    expect(registry.downloads(new RegExp(one.layerDigests[0]!))).toBe(1);
    expect(bed.layers()).toHaveLength(3);
    await bed.images.remove('shared-0');
    expect(bed.layers()).toHaveLength(2);
    expect(readFileSync(join(bed.images.get('shared-1')!.layers[1]!, 'base'))).toHaveLength(2_000_000);
  });

  it('is made once however often it is asked for, with progress that never falls', async () => {
    const image = imageOf([tarOf([{ name: 'f', data: Buffer.alloc(500_000, 1) }])]);
    const reference = registry.add('once', image);
    bed.seen.length = 0;
    await Promise.all([1, 2, 3].map(() => bed.pull('once', reference)));
    await bed.pull('once', reference);
    expect(registry.count(/\/v2\/once\/manifests/)).toBe(1);
    expect(bed.seen.at(-1)).toMatchObject({ name: 'once', state: 'ready', sizeBytes: 500_000 });
    expect(bed.seen.filter(({ state }) => state === 'ready')).toHaveLength(1);
    const fractions = bed.seen.flatMap(({ progress }) => progress?.fraction ?? []);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(await bed.log('once')).toContain('1 layers');
  });

  it('may have no layers, or the same one twice', async () => {
    expect(await bed.pull('nothing', registry.add('nothing', imageOf([])))).toMatchObject({ state: 'ready', sizeBytes: 0 });
    expect(bed.images.get('nothing')!.layers).toHaveLength(1);
    const twice = tarOf([{ name: 'same' }]);
    expect(await bed.pull('twice', registry.add('twice', imageOf([twice, tarOf([{ name: 'other' }]), twice])))).toMatchObject({ state: 'ready' });
    expect(bed.images.get('twice')!.layers).toHaveLength(2);
  });

  it('keeps owner and mode of directories that an upper layer has no entry for', async () => {
    const reference = registry.add('implied', imageOf([
      tarOf([dir('tmp', { mode: 0o1777 }), dir('home', { mode: 0o755 }), dir('home/ann', { mode: 0o700, uid: 1000, gid: 1000 })]),
      tarOf([{ name: 'tmp/made', data: '1' }, { name: 'home/ann/.profile', data: '2', uid: 1000 }, { name: 'fresh/file', data: '3' }]),
    ]));
    await bed.pull('implied', reference);
    const slot = await bed.storage.slot();
    await bed.disks.create('box2', 1024 ** 3);
    const root = await bed.disks.mount('box2', bed.images.get('implied')!.layers, slot);
    expect(lstatSync(join(root, 'tmp')).mode & 0o7777).toBe(0o1777);
    expect(lstatSync(join(root, 'home/ann'))).toMatchObject({ mode: 0o40700, uid: slot.idBase + 1000 });
    expect(lstatSync(join(root, 'fresh')).mode & 0o7777).toBe(0o755);
    expect(readFileSync(join(root, 'home/ann/.profile'), 'utf8')).toBe('2');
    await bed.disks.destroy('box2');
  });

  it('is there after a restart; what no record names is not', async () => {
    await bed.pull('stays', registry.add('stays', imageOf([tarOf([{ name: 'etc/passwd', data: 'ann:x:1000:1000::/home/ann:/bin/sh\n' }])], { config: { User: 'ann' } })));
    execFileSync('cp', ['-a', bed.images.get('stays')!.layers[0]!, join(bed.disks.layersDir, `sha256-${'0'.repeat(64)}`)]);
    const before = bed.images.get('stays');
    await bed.reopen();
    expect(bed.images.get('stays')).toEqual(before);
    expect(before!.config.users['ann']).toMatchObject({ uid: 1000 });
    expect(bed.layers()).toHaveLength(1);
    expect(await bed.log('stays')).toContain('fetched');
  });
});
