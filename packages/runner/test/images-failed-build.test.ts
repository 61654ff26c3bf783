import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunnerImage } from '@paddock/contract';
import { Images, RecipeMaker } from '../src/images/index.ts';
import { BtrfsDisks } from '../src/storage/index.ts';
import { listMounts } from '../src/sys/index.ts';
import { StorageBed } from './storage-bed.ts';

describe('a build of an image that does not finish', () => {
  let bed: StorageBed;
  let disks: BtrfsDisks;
  let server: Server | null = null;
  const seen: RunnerImage[] = [];

  beforeEach(async () => {
    seen.length = 0;
    bed = new StorageBed();
    disks = new BtrfsDisks(bed.settings());
    await disks.open();
  });

  afterEach(async () => {
    server?.closeAllConnections();
    server?.close();
    await disks.close();
    bed.dispose();
  });

  async function imagesWithMirror(handler: RequestListener): Promise<Images> {
    server = createServer(handler).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`;
    const images = new Images({ disks, log: bed.log, onChange: (image) => seen.push(image) });
    images.register('recipe', new RecipeMaker({ config: { default: 'slim', suite: 'trixie', mirror }, cacheDir: null }));
    await images.open();
    return images;
  }

  const leftovers = () => ({
    builds: readdirSync(join(disks.layersDir, '.builds')),
    layers: readdirSync(disks.layersDir).filter((name) => !name.startsWith('.')),
    mounts: listMounts().filter(({ target }) => target.startsWith(disks.layersDir)),
    processes: readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(bed.dir)),
  });

  const NOTHING = { builds: [], layers: [], mounts: [], processes: [] };

  it('because the mirror has no such thing says so and leaves nothing', async () => {
    const images = await imagesWithMirror((_, reply) => reply.writeHead(404).end());
    await images.put('slim', { kind: 'recipe' });
    await images.settled('slim');
    expect(images.get('slim')).toBeNull();
    expect(images.list()).toMatchObject([{ name: 'slim', state: 'failed', reason: expect.stringMatching(/mmdebstrap failed.*does not have a Release file/) }]);
    expect(seen.at(-1)).toEqual(images.list()[0]);
    expect(bed.warnings.join()).toMatch(/could not be made/);
    expect(leftovers()).toEqual(NOTHING);
    await images.close();
  });

  it('because the runner stops ends with every process it had', async () => {
    const asked = Promise.withResolvers<void>();
    const images = await imagesWithMirror(() => asked.resolve()); // never answers
    await images.put('slim', { kind: 'recipe' });
    await asked.promise;
    expect(leftovers().processes.length).toBeGreaterThan(1);
    await images.close();
    expect(images.get('slim')).toBeNull();
    expect(leftovers()).toEqual(NOTHING);
  });
});

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
}
