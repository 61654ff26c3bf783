import { execFileSync } from 'node:child_process';
import { existsSync, globSync, lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunnerImage } from '@paddock/contract';
import { Images, RecipeMaker } from '../src/images/index.ts';
import { BtrfsDisks } from '../src/storage/index.ts';
import { MNT, MS, bindMount, mount, umount2 } from '../src/sys/index.ts';
import type { Image } from '../src/types.ts';
import { StorageBed } from './storage-bed.ts';

/** The image is bootstrapped once a machine. */
const CACHE = process.env['PADDOCK_IMAGE_CACHE'] ?? '/var/tmp/paddock-test-cache';

describe('the slim image', () => {
  let bed: StorageBed;
  let disks: BtrfsDisks;
  let images: Images;
  let image: Image;
  const seen: RunnerImage[] = [];
  const create = (): Images => {
    const images = new Images({ disks, log: bed.log, onChange: (state) => seen.push(state) });
    images.register('recipe', new RecipeMaker({ config: { default: 'slim', suite: 'trixie', mirror: null }, cacheDir: CACHE }));
    images.needs(() => new Set());
    return images;
  };

  beforeAll(async () => {
    bed = new StorageBed();
    disks = new BtrfsDisks(bed.settings());
    await disks.open();
    images = create();
    await images.open();
    mkdirSync(join(disks.layersDir, 'nobody-refers-to-this'));
    mkdirSync(join(disks.layersDir, '.builds/slim/root'), { recursive: true });
    await images.put('slim', { kind: 'recipe' });
    await images.settled('slim');
    image = images.get('slim')!;
    // A view in which /dev/null can be made, for programs run in it.
    bindMount(image.layers[0]!, image.layers[0]!);
    mount(null, image.layers[0]!, null, MS.BIND | MS.REMOUNT);
  });

  afterAll(async () => {
    umount2(image.layers[0]!, MNT.DETACH);
    await images?.close();
    await disks?.close();
    bed?.dispose();
  });

  const inside = (...command: string[]): string => execFileSync('chroot', [image.layers[0]!, ...command], { encoding: 'utf8', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } });

  it('is prepared with progress and then ready', () => {
    expect(seen[0]).toMatchObject({ name: 'slim', state: 'preparing', progress: { fraction: 0 } });
    expect(seen.at(-1)).toEqual({
      name: 'slim', state: 'ready', sizeBytes: image.sizeBytes, config: { entrypoint: null, cmd: null, workDir: null, user: null },
    });
    expect(images.list()).toEqual([seen.at(-1)]);
    const fractions = seen.flatMap(({ progress }) => progress?.fraction ?? []);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(image.sizeBytes).toBeLessThan(400 * 1024 ** 2);
  });

  it('has the sandbox user with password-less sudo', () => {
    expect(image.config.users['daytona']).toEqual({ uid: 1000, gid: 1000, home: '/home/daytona', groups: [27] });
    expect(readFileSync(join(image.layers[0]!, 'etc/sudoers.d/daytona'), 'utf8')).toContain('NOPASSWD');
    expect(lstatSync(join(image.layers[0]!, 'usr/bin/sudo')).mode & 0o4000).toBe(0o4000);
    expect(inside('visudo', '--check')).toContain('parsed OK');
  });

  it('brings the tools that agents reach for', () => {
    for (const tool of ['bash', 'curl', 'git', 'rg', 'python3', 'python', 'pip', 'tini', 'ps', 'ip', 'less', 'unzip', 'xz', 'ssh']) {
      expect(inside('which', tool)).toMatch(new RegExp(`/${tool}$`, 'm'));
    }
    expect(inside('python3', '-c', 'import ssl, sqlite3, venv, ensurepip, lzma, ctypes; print(1)')).toBe('1\n');
  });

  it('has the byte code of Python\'s own library', () => {
    const library = globSync(join(image.layers[0]!, 'usr/lib/python3.*'))[0]!;
    for (const module of ['os', 'site', 'json/__init__', 'encodings/utf_8', 'asyncio/events']) {
      const [, dir = '', name] = /^(?:(.*)\/)?([^/]+)$/.exec(module)!;
      expect(globSync(join(library, dir, `__pycache__/${name}.*.pyc`)), module).toHaveLength(1);
    }
  });

  it('lets pip install without a virtual environment', () => {
    expect(globSync(join(image.layers[0]!, 'usr/lib/python3*/EXTERNALLY-MANAGED'))).toEqual([]);
  });

  it('tells nothing of the host it was made on', () => {
    for (const file of ['hostname', 'hosts', 'resolv.conf']) expect(readFileSync(join(image.layers[0]!, 'etc', file), 'utf8')).toBe('');
    expect(readdirSync(join(image.layers[0]!, 'dev'))).toEqual([]);
  });

  it('is ready for apt-get update, with no lists of its own', () => {
    expect(inside('sh', '-c', 'cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true')).toMatch(/trixie/);
    expect(readdirSync(join(image.layers[0]!, 'var/lib/apt/lists')).filter((name) => /Packages|Release/.test(name))).toEqual([]);
  });

  it('is found again after a restart, without what nobody refers to', async () => {
    seen.length = 0;
    mkdirSync(join(disks.layersDir, '.builds/left-over/root'), { recursive: true });
    mkdirSync(join(disks.layersDir, 'left-over'));
    const again = create();
    await again.open();
    expect(again.get('slim')).toEqual(image);
    expect(await again.put('slim', { kind: 'recipe' })).toMatchObject({ state: 'ready' });
    await again.collect();
    expect(seen).toEqual([]);
    expect(readdirSync(disks.layersDir).filter((name) => !name.startsWith('.'))).toHaveLength(1);
    expect(readdirSync(join(disks.layersDir, '.builds'))).toEqual([]);
    await again.close();
  });

  it('keeps its layers when a record cannot be read', async () => {
    writeFileSync(join(disks.poolDir, 'images/odd.json'), '{');
    mkdirSync(join(disks.layersDir, 'perhaps-of-odd'));
    const again = create();
    await again.open();
    await again.collect();
    expect(existsSync(join(disks.layersDir, 'perhaps-of-odd'))).toBe(true);
    expect(bed.warnings.join()).toMatch(/record is not usable/);
    await again.close();
  });

  it('refuses a name without a recipe', async () => {
    await images.put('no-such', { kind: 'recipe' });
    await images.settled('no-such');
    expect(images.find('no-such')).toMatchObject({ state: 'failed', reason: expect.stringContaining('There is no image no-such yet') });
  });
});
