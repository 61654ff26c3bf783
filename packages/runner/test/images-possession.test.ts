import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { unpackLayer, type MakeContext } from '../src/images/index.ts';
import { ImageBed, MemoryRegistry, imageOf, tarOf, type TestImage } from './image-bed.ts';

const tar = tarOf([{ name: 'secret', data: Buffer.alloc(1_000_000, 'of one organization ') }]);
const secret = imageOf([tar]);
const [blob] = secret.layerDigests as [string];
const layer = secret.diffIds[0]!.replace(':', '-');

/** The same manifest, configuration and layer names, with anything else as the layer's blob. */
const claims = (content: Buffer | null): TestImage => {
  const blobs = new Map(secret.blobs);
  if (content === null) blobs.delete(blob);
  else blobs.set(blob, content);
  return { ...secret, blobs };
};

/** What a registry has that knows digests and sizes only: it tells them of whatever is asked, and sends what it likes. */
const boast = (request: IncomingMessage, reply: ServerResponse, next: () => void): void => {
  if (!request.url!.endsWith(blob)) return next();
  const size = secret.blobs.get(blob)!.length;
  if (request.headers.range === 'bytes=0-0') reply.writeHead(206, { 'content-range': `bytes 0-0/${size}`, 'content-length': 1 }).end('x');
  else if (request.method === 'HEAD') reply.writeHead(200, { 'content-length': size }).end();
  else reply.writeHead(200, { 'content-length': size }).end(Buffer.alloc(size, 1));
};

describe('a layer that is there', () => {
  let bed: ImageBed;
  let honest: MemoryRegistry;
  let lying: MemoryRegistry;
  /** Stands for the honest one. */
  let mirror: MemoryRegistry;

  beforeAll(async () => {
    [honest, lying, mirror] = await Promise.all([MemoryRegistry.start(), MemoryRegistry.start(), MemoryRegistry.start()]);
    bed = await new ImageBed({ mirrors: { 'registry.localhost:4800': [`http://${mirror.host}`] } }).open();
  });
  afterEach(async () => {
    for (const { name } of bed.images.list()) await bed.images.remove(name);
    for (const registry of [honest, lying, mirror]) {
      registry.before = (_, __, next) => next();
      registry.requests.length = 0;
    }
  });
  afterAll(async () => {
    await bed?.dispose();
    await Promise.all([honest, lying, mirror].map((registry) => registry.stop()));
  });

  const vouchers = (): string[] => readdirSync(join(bed.disks.layersDir, '.vouchers'));
  const vouchedHosts = (): string[] => (JSON.parse(readFileSync(join(bed.disks.layersDir, '.vouchers', `${layer}.json`), 'utf8')) as Array<{ host: string }>).map(({ host }) => host);
  const downloads = (registry: MemoryRegistry): number => registry.downloads(new RegExp(blob));
  const victim = async (): Promise<void> => void expect(await bed.pull('victim', honest.add('victim/private', secret))).toMatchObject({ state: 'ready' });

  it.each<[string, () => string, RegExp]>([
    ['does not have it', () => lying.add('evil/one', claims(null)), /has no blobs/],
    ['says that it has it', () => {
      lying.before = boast;
      return lying.add('evil/two', claims(null));
    }, /other content|does not hold|damaged/],
    ['sends something else in its place', () => lying.add('evil/three', claims(Buffer.alloc(secret.blobs.get(blob)!.length, 3))), /other content|does not hold|damaged/],
    ['has another blob that it calls by the name of the content', () => lying.add('evil/four', imageOf([tarOf([{ name: 'mine' }])], { diffIds: secret.diffIds })), /does not hold/],
  ])('is not for the puller of a registry that %s', async (_, prepare, reason) => {
    await victim();
    const reference = prepare();
    expect(await bed.pull('thief', reference)).toMatchObject({ state: 'failed', reason: expect.stringMatching(reason) });
    expect(bed.images.get('thief')).toBeNull();
    expect(vouchedHosts()).toEqual([honest.host]);
    // Not with the second try either.
    expect(await bed.pull('thief', reference)).toMatchObject({ state: 'failed' });
  });

  it('is not for whom has a blob of the same size in the same registry', async () => {
    await victim();
    const size = secret.blobs.get(blob)!.length;
    const own = imageOf([tar], { compress: () => Buffer.alloc(size, 5), diffIds: secret.diffIds });
    expect(await bed.pull('thief', honest.add('thief/own', own))).toMatchObject({ state: 'failed', reason: expect.stringContaining('does not hold') });
    expect(honest.downloads(new RegExp(own.layerDigests[0]!))).toBe(1);
  });

  it('is not for whom its own registry refuses the blob, by repository or by credentials', async () => {
    await victim();
    expect(await bed.pull('other', honest.add('thief/repository', claims(null)))).toMatchObject({ state: 'failed', reason: expect.stringContaining('has no blobs') });
    const reference = honest.add('victim/private', secret);
    const owner = `Basic ${Buffer.from('owner:right').toString('base64')}`;
    honest.before = (request, reply, next) => {
      if (request.url!.endsWith(blob) && request.headers.authorization !== owner) reply.writeHead(request.headers.authorization === undefined ? 401 : 403, { 'www-authenticate': 'Basic realm="test"' }).end();
      else next();
    };
    expect(await bed.pull('anonymous', reference)).toMatchObject({ state: 'failed', reason: expect.stringContaining('refuses') });
    expect(await bed.pull('wrong', reference, { host: honest.host, username: 'thief', password: 'x' })).toMatchObject({ state: 'failed', reason: expect.stringContaining('refuses') });
    honest.requests.length = 0;
    expect(await bed.pull('right', reference, { host: honest.host, username: 'owner', password: 'right' })).toMatchObject({ state: 'ready' });
    expect(downloads(honest)).toBe(0);
  });

  it('is shared without a download with whom its registry would send it', async () => {
    await victim();
    await bed.reopen();
    expect(await bed.pull('again', honest.add('team/same', secret))).toMatchObject({ state: 'ready' });
    expect(downloads(honest)).toBe(1);
    expect(honest.requests.filter(({ range }) => range === 'bytes=0-0').map(({ path }) => path)).toEqual([`/v2/team/same/blobs/${blob}`]);
    expect(await bed.log('again')).toContain('is there already');
    expect(bed.images.get('again')!.layers).toEqual(bed.images.get('victim')!.layers);
  });

  it('is downloaded in full from a registry that has not sent it before, and not written again', async () => {
    await victim();
    const dir = join(bed.disks.layersDir, layer);
    const before = statSync(join(dir, 'secret'));
    const reference = lying.add('friend/copy', secret);
    expect(await bed.pull('copy', reference)).toMatchObject({ state: 'ready', sizeBytes: 1_000_000 });
    expect(downloads(lying)).toBe(1);
    expect(await bed.log('copy')).toContain('fetched');
    expect(statSync(join(dir, 'secret'))).toMatchObject({ ino: before.ino, ctimeMs: before.ctimeMs });
    expect(bed.leftovers()).toEqual([]);
    expect(await bed.pull('copy-2', reference)).toMatchObject({ state: 'ready' });
    expect(downloads(lying)).toBe(1);
    expect(vouchedHosts()).toEqual([honest.host, lying.host]);
  });

  it('is downloaded in full as another blob than the one that was sent', async () => {
    await victim();
    const other = imageOf([tar], { compress: (bytes) => zstdCompressSync(bytes), layerType: 'application/vnd.oci.image.layer.v1.tar+zstd' });
    const reference = honest.add('victim/zstd', other);
    for (const name of ['zstd', 'zstd-2']) expect(await bed.pull(name, reference)).toMatchObject({ state: 'ready' });
    expect(honest.downloads(new RegExp(other.layerDigests[0]!))).toBe(1);
    expect(bed.layers()).toEqual([layer]);
  });

  it('is downloaded in full where the answer is not about the blob', async () => {
    await victim();
    honest.before = (request, reply, next) => (request.headers.range === 'bytes=0-0' ? void reply.writeHead(200, { 'content-type': 'text/html' }).end('Log in first') : next());
    expect(await bed.pull('page', honest.add('team/page', secret))).toMatchObject({ state: 'ready' });
    expect(downloads(honest)).toBe(2);
  });

  it('is reused with a registry that sends blobs whole only', async () => {
    await victim();
    honest.before = (request, _, next) => {
      delete request.headers.range;
      next();
    };
    expect(await bed.pull('whole', honest.add('team/whole', secret))).toMatchObject({ state: 'ready' });
    expect(await bed.log('whole')).toContain('is there already');
  });

  it.each<[string, () => void]>([
    ['from before there were vouchers', () => rmSync(join(bed.disks.layersDir, '.vouchers'), { recursive: true })],
    ['whose vouchers are damaged', () => writeFileSync(join(bed.disks.layersDir, '.vouchers', `${layer}.json`), '[{"host":')],
  ])('%s is downloaded in full once', async (_, spoil) => {
    await victim();
    spoil();
    await bed.reopen();
    for (const name of ['one', 'two']) expect(await bed.pull(name, honest.add('victim/private', secret))).toMatchObject({ state: 'ready' });
    expect(downloads(honest)).toBe(2);
    expect(vouchedHosts()).toEqual([honest.host]);
  });

  it('from a build is nobody else\'s either', async () => {
    bed.images.register('build', { make: async (__, { layers, signal }: MakeContext) => {
      const { sizeBytes } = await layers.obtain(layer, (dir) => unpackLayer({ source: Readable.from([tar]), dir, diffId: secret.diffIds[0]!, signal }));
      return { layers: [layer], disk: null, sizeBytes, config: { env: [], workDir: null, entrypoint: null, cmd: null, user: null, labels: {} }, origin: {} };
    } });
    await bed.images.put('build-1', { kind: 'build', organizationId: 'o', dockerfile: '', contexts: [], auths: [] });
    await bed.images.settled('build-1');
    expect(bed.images.find('build-1')).toMatchObject({ state: 'ready' });
    expect(vouchers()).toEqual([]);
    lying.before = boast;
    expect(await bed.pull('thief', lying.add('evil/build', claims(null)))).toMatchObject({ state: 'failed' });
    expect(await bed.pull('owner', honest.add('owner/pushed', secret))).toMatchObject({ state: 'ready' });
    expect(downloads(honest)).toBe(1);
    expect(bed.layers()).toEqual([layer]);
  });

  it('only by the time it is wanted has to be proven as well', async () => {
    const owner = honest.add('victim/slow', secret);
    const asked = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    honest.before = (request, _, next) => {
      if (!request.url!.endsWith(blob)) return next();
      asked.resolve();
      void go.promise.then(next);
    };
    const first = bed.pull('first', owner);
    await asked.promise;
    const waiters = [bed.pull('thief', honest.add('thief/slow', claims(null))), bed.pull('member', honest.add('member/slow', secret))];
    const asks = (): boolean => ['thief', 'member'].every((who) => honest.count(new RegExp(`/${who}/slow/blobs`)) === 1);
    while (!asks()) await new Promise((resolve) => setTimeout(resolve, 5)); // for the configuration
    go.resolve();
    expect((await Promise.all([first, ...waiters])).map(({ state }) => state)).toEqual(['ready', 'failed', 'ready']);
    const sent = honest.requests.filter(({ path, range }) => path.endsWith(blob) && range === undefined).map(({ path }) => path.split('/')[2]);
    expect(sent).toEqual(['victim', 'thief']); // who does not get it
    expect(bed.layers()).toEqual([layer]);
  });

  it('waits for no other registry, however slow, and is one layer in the end', async () => {
    const go = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    lying.before = (request, reply, next) => {
      if (!request.url!.endsWith(blob)) return next();
      asked.resolve();
      void go.promise.then(() => boast(request, reply, next));
    };
    const thief = bed.pull('thief', lying.add('evil/first', claims(null)));
    await asked.promise;
    const owner = bed.pull('owner', honest.add('victim/second', secret));
    expect(await owner).toMatchObject({ state: 'ready' });
    go.resolve();
    expect(await thief).toMatchObject({ state: 'failed' });
    expect(vouchedHosts()).toEqual([honest.host]);
    // One that sends the content in the end has proven that it has it; the layer stays the first one's.
    const late = Promise.withResolvers<void>();
    const slow = Promise.withResolvers<void>();
    await bed.images.remove('owner');
    lying.before = (request, _, next) => {
      if (!request.url!.endsWith(blob)) return next();
      slow.resolve();
      void late.promise.then(next);
    };
    const friend = bed.pull('friend', lying.add('friend/late', secret));
    await slow.promise;
    expect(await bed.pull('owner', honest.add('victim/second', secret))).toMatchObject({ state: 'ready' });
    const placed = statSync(join(bed.disks.layersDir, layer, 'secret'));
    late.resolve();
    expect(await friend).toMatchObject({ state: 'ready', sizeBytes: 1_000_000 });
    expect(statSync(join(bed.disks.layersDir, layer, 'secret')).ino).toBe(placed.ino);
    expect(vouchedHosts().sort()).toEqual([honest.host, lying.host].sort());
    expect(bed.layers()).toEqual([layer]);
    expect(bed.leftovers()).toEqual([]);
  });

  it('twice in an image is proven once', async () => {
    const twice = imageOf([tar, tarOf([{ name: 'between' }]), tar]);
    const reference = honest.add('team/twice', twice);
    for (const name of ['once', 'again']) expect(await bed.pull(name, reference)).toMatchObject({ state: 'ready' });
    expect(honest.count(new RegExp(blob))).toBe(2);
    expect(downloads(honest)).toBe(1);
  });

  it('is vouched for by a mirror in the name of the registry it stands for', async () => {
    mirror.add('team/tool', secret);
    const reference = `registry.localhost:4800/team/tool@${secret.digest}`;
    for (const name of ['mirrored', 'mirrored-2']) expect(await bed.pull(name, reference)).toMatchObject({ state: 'ready' });
    expect(downloads(mirror)).toBe(1);
    expect(vouchedHosts()).toEqual(['registry.localhost:4800']);
  });

  it('takes its vouchers along when it goes, also those that a killed runner left', async () => {
    await victim();
    expect(vouchers()).toEqual([`${layer}.json`]);
    for (const file of [`${layer}.json.new`, 'sha256-gone.json']) writeFileSync(join(bed.disks.layersDir, '.vouchers', file), '[]');
    await bed.images.collect();
    expect(vouchers()).toEqual([`${layer}.json`]);
    await bed.images.remove('victim');
    expect(vouchers()).toEqual([]);
    expect(bed.layers()).toEqual([]);
  });
});
