import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunnerImage } from '@paddock/contract';
import { MakeFailed, type MakeContext } from '../src/images/index.ts';
import { ImageBed, MemoryRegistry, imageOf, sha256, tarOf } from './image-bed.ts';

describe('the image store', () => {
  let bed: ImageBed;
  let registry: MemoryRegistry;

  beforeEach(async () => {
    bed = await new ImageBed().open();
    registry = await MemoryRegistry.start();
  });
  afterEach(async () => {
    await bed.dispose();
    await registry.stop();
  });

  const big = imageOf([tarOf([{ name: 'small' }]), tarOf([{ name: 'big', data: randomBytes(3_000_000) }])]);
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  /** Makes the registry stop in the middle of each blob of the size until it is let go on. */
  const stall = (image: typeof big): void => {
    registry.before = (request, reply, next) => {
      const blob = image.blobs.get(request.url!.split('/').at(-1)!);
      if (blob === undefined || blob.length < 100_000) return next();
      reply.writeHead(200, { 'content-length': blob.length });
      reply.write(blob.subarray(0, 1_000_000));
    };
  };
  const nothingLeft = async (): Promise<void> => {
    await bed.images.collect();
    expect({ layers: bed.layers(), rest: bed.leftovers(), records: readdirSync(join(bed.disks.poolDir, 'images')), logs: readdirSync(join(bed.disks.poolDir, 'image-logs')) }).toEqual({ layers: [], rest: [], records: [], logs: [] });
  };

  it('ends work on an image that is deleted, and makes it anew when it is asked for again', async () => {
    const reference = registry.add('big', big);
    stall(big);
    await bed.images.put('big', { kind: 'registry', reference, auth: null });
    await until(() => bed.seen.some(({ progress }) => progress?.text.startsWith('Downloading') ?? false));
    expect(bed.images.find('big')).toMatchObject({ state: 'preparing', progress: { text: expect.stringMatching(/^Downloading [\d.]+ of 3 MB$/) } });
    const removal = bed.images.remove('big');
    registry.before = (_, __, next) => next();
    const again = bed.images.put('big', { kind: 'registry', reference, auth: null });
    await Promise.all([removal, again]);
    await bed.images.settled('big');
    expect(bed.images.find('big')).toMatchObject({ state: 'ready' });
    await bed.images.remove('big');
    expect(bed.images.find('big')).toBeNull();
    expect(bed.seen.some(({ state }) => state === 'failed')).toBe(false);
    await nothingLeft();
  });

  it('keeps a deleted image for the sandboxes on it, and for them alone', async () => {
    await bed.pull('used', registry.add('used', big));
    bed.inUse = new Set(['used']);
    await bed.images.remove('used');
    expect([bed.images.get('used'), bed.images.find('used'), bed.images.list()]).toEqual([null, null, []]);
    expect(existsSync(bed.images.ofSandbox('used')!.layers[0]!)).toBe(true);
    await bed.reopen();
    expect(bed.images.get('used')).toBeNull();
    expect(existsSync(bed.images.ofSandbox('used')!.layers[0]!)).toBe(true);
    bed.inUse = null; // a sandbox whose image is not known may be on it
    await bed.images.collect();
    expect(bed.images.ofSandbox('used')).not.toBeNull();
    bed.inUse = new Set();
    await bed.images.collect();
    expect(bed.images.ofSandbox('used')).toBeNull();
    await nothingLeft();
  });

  it('shows a deleted image that is still there again at once when it is wanted again', async () => {
    const reference = registry.add('back', big);
    await bed.pull('back', reference);
    bed.inUse = new Set(['back']);
    await bed.images.remove('back');
    registry.requests.length = 0;
    expect(await bed.images.put('back', { kind: 'registry', reference, auth: null })).toMatchObject({ state: 'ready' });
    expect(registry.requests).toEqual([]);
    await bed.reopen();
    expect(bed.images.get('back')).not.toBeNull();
  });

  it('says why an image failed, also after a restart, and tries again when asked', async () => {
    const reference = registry.add('later', big);
    registry.before = (request, reply, next) => (request.url!.includes('manifests') ? void reply.writeHead(403).end() : next());
    expect(await bed.pull('later', reference)).toMatchObject({ state: 'failed', reason: expect.stringContaining('refuses') });
    expect(bed.images.find('later')).not.toHaveProperty('transient');
    await bed.reopen();
    expect(bed.images.find('later')).toMatchObject({ state: 'failed', reason: expect.stringContaining('refuses') });
    expect(await bed.log('later')).toContain('Looking up');
    registry.before = (_, __, next) => next();
    expect(await bed.pull('later', reference)).toMatchObject({ state: 'ready' });
    await bed.images.remove('later');
    await nothingLeft();
  });

  it('makes a failed image again for whoever asks in the moment of hearing it', async () => {
    const reference = registry.add('at-once', big);
    registry.before = (_, reply) => void reply.writeHead(403).end();
    const asked = Promise.withResolvers<RunnerImage>();
    bed.hear = (image) => {
      if (image.name !== 'at-once' || image.state !== 'failed') return;
      bed.hear = () => undefined;
      registry.before = (_, __, next) => next();
      asked.resolve(bed.images.put('at-once', { kind: 'registry', reference, auth: null }));
    };
    await bed.images.put('at-once', { kind: 'registry', reference, auth: null });
    expect(await asked.promise).toMatchObject({ state: 'preparing' });
    await bed.images.settled('at-once');
    expect(bed.images.find('at-once')).toMatchObject({ state: 'ready' });
    await bed.images.remove('at-once');
    await nothingLeft();
  });

  it('takes a broken download up again where it broke', async () => {
    const reference = registry.add('broken', big);
    let breaks = 2;
    registry.before = (request, reply, next) => {
      const blob = big.blobs.get(request.url!.split('/').at(-1)!);
      if (blob === undefined || blob.length < 100_000 || breaks === 0) return next();
      breaks -= 1;
      const from = Number(/=(\d+)/.exec(request.headers.range ?? '=0')![1]);
      reply.writeHead(from > 0 ? 206 : 200, { 'content-length': blob.length - from, ...(from > 0 ? { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` } : {}) });
      reply.write(blob.subarray(from, from + 700_000), () => setTimeout(() => reply.destroy(), 50));
    };
    expect(await bed.pull('broken', reference)).toMatchObject({ state: 'ready' });
    const ranges = registry.requests.flatMap(({ range }) => range ?? []).map((range) => Number(/\d+/.exec(range)![0]));
    expect(ranges).toHaveLength(2);
    expect(ranges[1]!).toBeGreaterThan(ranges[0]!);
  });

  it('goes on after a passing failure from the layers it has', async () => {
    const reference = registry.add('flaky', big);
    const [small, large] = big.layerDigests as [string, string];
    let down = true;
    registry.before = (request, reply, next) => (down && request.url!.endsWith(large) ? void setTimeout(() => reply.writeHead(429, { 'retry-after': '3600' }).end(), 1_500) : next());
    expect(await bed.pull('flaky', reference)).toMatchObject({ state: 'failed', transient: true, reason: expect.stringContaining('429') });
    down = false;
    expect(await bed.pull('flaky', reference)).toMatchObject({ state: 'ready' });
    expect(registry.downloads(new RegExp(small))).toBe(1);
  });

  it.each<[string, (blob: Buffer) => Buffer, RegExp]>([
    ['other content', (blob) => Buffer.from(blob).fill(7, blob.length - 9), /other content|damaged|does not hold/],
    ['more than it said', (blob) => Buffer.concat([blob, Buffer.alloc(100)]), /more than/],
  ])('refuses a blob with %s', async (_, change, reason) => {
    const reference = registry.add('lying', big);
    for (const digest of big.layerDigests) registry.put(`/v2/lying/blobs/${digest}`, 'x', change(big.blobs.get(digest)!));
    expect(await bed.pull('lying', reference)).toMatchObject({ state: 'failed', reason: expect.stringMatching(reason) });
    await bed.images.remove('lying');
    await nothingLeft();
  });

  it('refuses an image whose configuration vouches for other layers', async () => {
    const wrong = imageOf([tarOf([{ name: 'a' }])], { diffIds: [sha256(Buffer.from('other'))] });
    expect(await bed.pull('wrong', registry.add('wrong', wrong))).toMatchObject({ state: 'failed', reason: expect.stringContaining('does not hold') });
  });

  it('fails clearly where the pool has no room, and leaves nothing', async () => {
    const small = await new ImageBed({ poolGiB: 4 }).open();
    try {
      const { bavail, bsize } = statfsSync(small.disks.poolDir);
      const filler = join(small.disks.poolDir, 'filler');
      // All but the reserve and four megabytes.
      execFileSync('fallocate', ['--length', String(bavail * bsize - 1024 ** 3 - 4_000_000), filler]);
      const image = imageOf([tarOf([{ name: 'zeros', data: Buffer.alloc(60_000_000) }])]);
      const result = await small.pull('full', registry.add('full', image));
      expect(result).toMatchObject({ state: 'failed', reason: expect.stringMatching(/unpacks to more than \d+ MiB, which is what there is room for|storage/) });
      const incompressible = imageOf([tarOf([{ name: 'noise', data: randomBytes(30_000_000) }])]);
      expect(await small.pull('noise', registry.add('noise', incompressible))).toMatchObject({ state: 'failed', reason: expect.stringMatching(/room for|storage is full/) });
      // Not even room for a log or a record.
      for (let size = 2 ** 30; size >= 4096; size = Math.floor(size / 2)) spawnSync('fallocate', ['--length', String(size), `${filler}${size}`]);
      for (let index = 0; index < 100_000 && !full(join(small.disks.poolDir, `tiny${index}`)); index += 1);
      expect(await small.pull('brim', registry.add('brim', incompressible))).toMatchObject({ state: 'failed', reason: expect.stringMatching(/storage/) });
      await small.images.collect();
      expect([small.layers(), small.leftovers()]).toEqual([[], []]);
    } finally {
      await small.dispose();
    }
  });

  it('has a log that grows while the image is made and ends with it', async () => {
    const go = Promise.withResolvers<void>();
    bed.images.register('build', { make: async (_, context: MakeContext) => {
      context.log('first\n');
      await go.promise;
      context.log('second\n');
      throw new MakeFailed('step 2 failed');
    } });
    await bed.images.put('built', { kind: 'build', organizationId: 'o', dockerfile: '', contexts: [], auths: [] });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const chunk of bed.images.log('built', true, new AbortController().signal)!) seen.push(chunk.toString());
    })();
    await until(() => seen.join('').includes('first'));
    expect(seen.join('')).toBe('first\n');
    go.resolve();
    await reading;
    expect(seen.join('')).toBe('first\nsecond\n');
    expect(bed.images.find('built')).toMatchObject({ state: 'failed', reason: 'step 2 failed' });
    expect(bed.images.log('never', true, new AbortController().signal)).toBeNull();
  });

  it('has a log of bounded size that keeps its end', async () => {
    bed.images.register('build', { make: async (_, context: MakeContext) => {
      for (let line = 0; line < 20_000; line += 1) context.log(`${line} ${'x'.repeat(1_000)}\n`);
      throw new MakeFailed('the last line');
    } });
    await bed.images.put('noisy', { kind: 'build', organizationId: 'o', dockerfile: '', contexts: [], auths: [] });
    await bed.images.settled('noisy');
    const text = await bed.log('noisy');
    expect(text.length).toBeLessThan(9 * 1024 ** 2);
    expect(text).toMatch(/^0 x/);
    expect(text).toMatch(/bytes left out/);
    expect(text.endsWith(`19999 ${'x'.repeat(1_000)}\n`)).toBe(true);
  });

  it('ends a log\'s reader that goes away, and all work when it closes', async () => {
    const ended = Promise.withResolvers<void>();
    bed.images.register('build', { make: async (_, { signal }: MakeContext) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      ended.resolve();
      signal.throwIfAborted();
      throw new Error('unreachable');
    } });
    await bed.images.put('endless', { kind: 'build', organizationId: 'o', dockerfile: '', contexts: [], auths: [] });
    const gone = new AbortController();
    const reading = (async () => { for await (const _ of bed.images.log('endless', true, gone.signal)!) { /* nothing comes */ } })();
    setTimeout(() => gone.abort(), 50);
    await expect(reading).rejects.toThrow();
    await bed.images.close();
    await ended.promise;
    expect(existsSync(join(bed.disks.poolDir, 'images/endless.json'))).toBe(false);
    expect(bed.leftovers()).toEqual([]);
  });

  it('keeps records that cannot be read, and then removes no layer on their account', async () => {
    await bed.pull('good', registry.add('good', big));
    await bed.images.close(); // with the record as it stays
    const record = join(bed.disks.poolDir, 'images/good.json');
    const whole = readFileSync(record, 'utf8');
    writeFileSync(record, whole.slice(0, 40));
    await bed.reopen();
    expect(bed.images.find('good')).toBeNull();
    expect(bed.layers()).toHaveLength(2);
    writeFileSync(record, whole);
    await bed.reopen();
    expect(bed.images.find('good')).toMatchObject({ state: 'ready' });
  });

  it('trusts what was not yet on the device as long as the same kernel runs, and no longer', async () => {
    const reference = registry.add('flushed', big);
    const record = join(bed.disks.poolDir, 'images/flushed.json');
    await bed.pull('flushed', reference);
    await bed.images.close();
    const whole = JSON.parse(readFileSync(record, 'utf8')) as object;
    expect(whole).not.toHaveProperty('unflushed');
    writeFileSync(record, JSON.stringify({ ...whole, unflushed: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() }));
    await bed.reopen();
    expect(bed.images.find('flushed')).toMatchObject({ state: 'ready' });
    await bed.images.close();
    expect(JSON.parse(readFileSync(record, 'utf8'))).not.toHaveProperty('unflushed');
    writeFileSync(record, JSON.stringify({ ...whole, unflushed: 'another-boot' }));
    await bed.reopen();
    expect(bed.images.find('flushed')).toBeNull();
    await nothingLeft();
  });

  it('makes no image of a kind that nobody makes', async () => {
    await expect(bed.images.put('odd', { kind: 'sandbox', sandboxId: 'x' })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    expect(bed.images.list()).toEqual([]);
  });
});

/** @returns whether there was no room for a small file */
function full(path: string): boolean {
  try {
    writeFileSync(path, Buffer.alloc(2_000, 1));
    return false;
  } catch {
    return true;
  }
}
