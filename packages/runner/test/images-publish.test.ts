import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, ftruncateSync, linkSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeNode, setXattrAt } from '../src/sys/index.ts';
import { ImageBed } from './image-bed.ts';
import { describeTree, OwnRegistry, PublishBed, shell } from './publish-bed.ts';

/** An image of one runner in a registry, and in the store of another runner that pulls it. */
let registry: OwnRegistry;
let from: PublishBed;
let to: ImageBed;

beforeAll(async () => {
  registry = await OwnRegistry.start();
  from = await new PublishBed().open();
  to = await new ImageBed().open();
});
afterAll(async () => {
  await from?.dispose();
  await to?.dispose();
  await registry?.stop();
});

const layersOf = (bed: ImageBed, name: string): string[] => bed.images.get(name)!.layers.map(describeTree).flat();

async function pulled(name: string, reference: string): Promise<void> {
  expect(await to.pull(name, reference, registry.auth())).toMatchObject({ state: 'ready' });
}

/** Everything that can be in a layer. */
function fillWithEverything(dir: string): void {
  shell(dir, `
    mkdir -p etc opaque empty deep/er; echo root > etc/passwd; chmod 600 etc/passwd
    echo setuid > suid; chown 12:34 suid; chmod 6755 suid; chown -h 1000:1000 empty; chmod 1777 empty
    ln -s /etc/passwd absolute; ln -s ../../../outside dangling; ln etc/passwd deep/er/hard; ln suid hard2; mkfifo fifo; chmod 622 fifo
    printf 'x' > 'blank and
newline'; printf y > "$(printf 'latin\\351')"; printf z > "$(printf '\\360\\237\\246\\206')"
    long=$(printf 'n%.0s' $(seq 1 200)); mkdir $long; echo long > $long/$long; ln $long/$long longlink; ln -s $long/$long/$long toolong
    head -c 9000000 /dev/urandom > random; : > nothing; touch -d '2001-02-03 04:05:06.123456Z' etc/passwd; touch -d '1999-01-01' deep
  `);
  setXattrAt(`${dir}/suid`, 'user.comment', Buffer.from('with\nnewline\0zero'));
  setXattrAt(`${dir}/empty`, 'user.on-directory', Buffer.alloc(0));
  // cap_net_raw+ep, version 2.
  setXattrAt(`${dir}/random`, 'security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex'));
  setXattrAt(`${dir}/opaque`, 'trusted.overlay.opaque', Buffer.from('y'));
  makeNode(join(dir, 'removed'), 0o20000);
  makeNode(join(dir, 'deep/gone'), 0o20000);
  const sparse = openSync(join(dir, 'sparse'), 'w');
  writeSync(sparse, 'begin', 0);
  writeSync(sparse, 'middle', 700_000);
  ftruncateSync(sparse, 5_000_000);
  closeSync(sparse);
  const hole = openSync(join(dir, 'hole'), 'w');
  ftruncateSync(hole, 1024 ** 4);
  closeSync(hole);
  chmodSync(dir, 0o711);
}

describe('a published image', () => {
  it('is the same tree where it is pulled: owners, modes, times, attributes, hard links, whiteouts, opaque directories, holes', async () => {
    await from.image('all', [(dir) => shell(dir, 'mkdir opaque deep; echo below > removed; echo below > opaque/below; echo below > deep/gone'), fillWithEverything], {
      Env: ['A=1', 'PATH=/bin'], WorkingDir: '/etc', Entrypoint: ['/bin/x', 'y'], Cmd: ['z'], User: '12:34', Labels: { label: 'value' },
    });
    const published = await from.publish('all', registry);
    expect(published).toMatchObject({ state: 'done', published: { reference: expect.stringMatching(/\/paddock\/images\/all@sha256:[0-9a-f]{64}$/) } });
    await pulled('all', published.published!.reference);
    expect(layersOf(to, 'all')).toEqual(layersOf(from.bed, 'all'));
    expect(layersOf(to, 'all').join('\n')).toContain('device 0');
    const { users: _, groups: __, ...config } = to.images.get('all')!.config;
    expect(config).toEqual({ env: ['A=1', 'PATH=/bin'], workDir: '/etc', entrypoint: ['/bin/x', 'y'], cmd: ['z'], user: '12:34', labels: { label: 'value' } });
    const [upper] = to.images.get('all')!.layers as [string];
    expect(Math.abs(statSync(join(upper, 'etc/passwd')).mtimeMs - Date.UTC(2001, 1, 3, 4, 5, 6, 123) - 0.456)).toBeLessThan(0.002);
    expect(statSync(join(upper, 'sparse')).blocks * 512).toBeLessThan(100_000);
    expect(statSync(join(upper, 'hole'))).toMatchObject({ size: 1024 ** 4, blocks: 0 });
  });

  it('is not sent again: not to the same place, nor to another one of the registry, nor after a restart of the runner', async () => {
    const first = await from.publish('all', registry);
    const before = registry.events.length;
    expect(await from.publish('all', registry)).toEqual(first); // remembered
    expect(registry.events.length).toBe(before);
    await from.forget();
    expect((await from.publish('all', registry)).published).toEqual(first.published);
    expect(registry.received(before)).toBeLessThan(5_000);
    const elsewhere = await from.publish('all', registry, 'paddock/images/all-again');
    expect(elsewhere.published!.reference.split('@')[1]).toBe(first.published!.reference.split('@')[1]);
    expect(registry.received(before)).toBeLessThan(10_000);
    await pulled('all-again', elsewhere.published!.reference);
    expect(layersOf(to, 'all-again')).toEqual(layersOf(from.bed, 'all'));
  });

  it('takes over from other repositories nothing that its credential does not open', async () => {
    await from.forget();
    const before = registry.events.length;
    const narrow = { host: registry.host, auth: () => registry.auth('paddock/images/narrow') };
    expect(await from.publish('all', narrow, 'paddock/images/narrow')).toMatchObject({ state: 'done' });
    expect(registry.received(before)).toBeGreaterThan(9_000_000);
  });

  it('is sent again when the registry lost it, and its notes go with the layers', async () => {
    await from.image('lost', [(dir) => shell(dir, 'head -c 100000 /dev/urandom > data')]);
    const other = await OwnRegistry.start();
    const first = await from.publish('lost', other);
    await other.stop();
    await from.forget();
    const again = await from.publish('lost', registry);
    expect(again.published!.reference.split('@')[1]).toBe(first.published!.reference.split('@')[1]);
    const notes = join(from.bed.disks.layersDir, '.published');
    const [layer] = from.bed.images.get('lost')!.layers.map((path) => path.split('/').at(-1)!);
    expect(existsSync(join(notes, `${layer}.json`))).toBe(true);
    await from.bed.images.remove('lost');
    expect(existsSync(join(notes, `${layer}.json`))).toBe(false);
  });

  it('whose note is damaged or unfinished is read again', async () => {
    await from.image('noted', [(dir) => shell(dir, 'head -c 100000 /dev/urandom > data')]);
    const first = await from.publish('noted', registry);
    const notes = join(from.bed.disks.layersDir, '.published');
    for (const file of readdirSync(notes)) writeFileSync(join(notes, file), readFileSync(join(notes, file)).subarray(0, 40));
    writeFileSync(join(notes, 'unfinished.json.new'), '');
    await from.forget();
    expect((await from.publish('noted', registry)).published).toEqual(first.published);
    await from.bed.images.collect();
    expect(existsSync(join(notes, 'unfinished.json.new'))).toBe(false);
  });
});

describe('a tree that wants harm', () => {
  it('gives away nothing that its links name, and neither sockets nor devices', async () => {
    await from.image('links', [(dir) => {
      symlinkSync('/etc/shadow', join(dir, 'shadow'));
      symlinkSync('/etc', join(dir, 'etc'));
      symlinkSync('/proc/self/root/etc', join(dir, 'proc'));
      mkdirSync(join(dir, 'a'));
      linkSync(join(dir, 'shadow'), join(dir, 'a/shadow'));
      shell(dir, `mknod null c 1 3; mknod disk b 7 0; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'`);
    }]);
    const published = await from.publish('links', registry);
    await pulled('links', published.published!.reference);
    const [there] = to.images.get('links')!.layers as [string];
    expect(readdirSync(there).sort()).toEqual(['.unique-links-0', 'a', 'etc', 'proc', 'shadow']);
    for (const name of ['etc', 'proc', 'shadow', 'a/shadow']) expect(lstatSync(join(there, name)).isSymbolicLink(), name).toBe(true);
  });

  it.each<[string, RegExp, (dir: string) => void]>([
    ['a file that is called like a whiteout', /"deep\/\.wh\.x" has a name/, (dir) => shell(dir, 'mkdir deep; echo > deep/.wh.x')],
    ['a path deeper than images have', /too deep/, (dir) => shell(dir, 'i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done')],
    ['a path that no single name reaches', /too deep|too long/, (dir) => shell(dir, 'n=$(printf "n%.0s" $(seq 1 250)); i=0; while [ $i -lt 30 ]; do mkdir $n; cd -P $n; i=$((i+1)); done')],
    ['an attribute that a tar would read otherwise', /equals sign/, (dir) => setXattrAt(dir, 'user.a=b', Buffer.from('x'))],
    ['an attribute that is too long', /too long/, (dir) => setXattrAt(dir, 'user.a', Buffer.alloc(9_000))],
    ['more holes than a map has room for', /more holes/, (dir) => {
      const fd = openSync(join(dir, 'holes'), 'w');
      for (let index = 0; index < 10_100; index += 1) writeSync(fd, 'x', index * 65_536);
      ftruncateSync(fd, 1024 ** 4);
      closeSync(fd);
    }],
  ])('%s is refused in words, for good', async (what, reason, fill) => {
    const name = `bad-${what.split(' ').join('-').slice(0, 60)}`;
    await from.image(name, [fill]);
    expect(await from.publish(name, registry)).toMatchObject({ state: 'failed', transient: false, reason: expect.stringMatching(reason) });
  });
});

describe('a registry that has a bad day', () => {
  const fill = (dir: string): void => shell(dir, 'head -c 30000000 /dev/urandom > data');

  it('is sent the rest of a piece, or only asked whether it has it, when a connection breaks', async () => {
    await from.image('broken', [fill]);
    let cuts = 0;
    registry.before = (request, reply, next) => {
      const patch = request.method === 'PATCH';
      if (patch && cuts < 2) {
        cuts += 1;
        // The first is cut before it is taken, the second when it is taken and not answered.
        if (cuts === 1) return void request.socket.destroy();
        reply.writeHead = () => reply.destroy();
      }
      if (request.method === 'PUT' && request.url!.includes('digest=') && cuts === 2) {
        cuts += 1;
        reply.writeHead = () => reply.destroy();
      }
      next();
    };
    const published = await from.publish('broken', registry);
    registry.before = (_, __, next) => next();
    expect(cuts).toBe(3);
    expect(published).toMatchObject({ state: 'done' });
    await pulled('broken', published.published!.reference);
    expect(layersOf(to, 'broken')).toEqual(layersOf(from.bed, 'broken'));
  });

  it('that says 503 and refuses connections is a failure that may pass', async () => {
    await from.image('away', [fill]);
    registry.before = (_, reply) => void reply.writeHead(503).end();
    expect(await from.publish('away', registry)).toMatchObject({ state: 'failed', transient: true, reason: expect.stringContaining('503') });
    registry.before = (_, __, next) => next();
    expect(await from.publish('away', registry)).toMatchObject({ state: 'done' });
  });

  it('that refuses the credential says so', async () => {
    await from.image('denied', [(dir) => shell(dir, 'echo > x')]);
    const reader = { host: registry.host, auth: () => registry.auth('paddock/', ['pull']) };
    expect(await from.publish('denied', reader)).toMatchObject({ state: 'failed', reason: expect.stringContaining('refuses') });
  });
});

describe('a publication in progress', () => {
  const fill = (dir: string): void => shell(dir, 'head -c 60000000 /dev/urandom > data');
  /** Holds the upload until it is let go. */
  function hold(): { held: Promise<void>; letGo: () => void } {
    const held = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    registry.before = (request, _, next) => {
      if (request.method !== 'PATCH') return next();
      held.resolve();
      void go.promise.then(next);
    };
    return { held: held.promise, letGo: () => { registry.before = (_, __, next) => next(); go.resolve(); } };
  }

  it('ends with the image, and leaves nothing open', async () => {
    await from.image('deleted', [fill]);
    const { held, letGo } = hold();
    const ended = from.publish('deleted', registry);
    await held;
    const removed = from.bed.images.remove('deleted');
    expect(await ended).toMatchObject({ state: 'failed', transient: true, reason: expect.stringContaining('deleted') });
    await removed;
    letGo();
    expect(from.bed.layers().some((layer) => existsSync(join(from.bed.disks.layersDir, layer, '.unique-deleted-0')))).toBe(false);
    expect(openFiles(from.bed.disks.layersDir)).toEqual([]);
  });

  it('ends when it is told to or the runner stops, and the next one is whole', async () => {
    await from.image('stopped', [fill]);
    for (const end of [() => from.publications.remove('stopped'), () => from.forget()]) {
      const { held, letGo } = hold();
      const ended = from.publish('stopped', registry);
      await held;
      await end();
      expect(await ended).toMatchObject({ state: 'failed', transient: true });
      letGo();
    }
    const published = await from.publish('stopped', registry);
    await pulled('stopped', published.published!.reference);
    expect(layersOf(to, 'stopped')).toEqual(layersOf(from.bed, 'stopped'));
  });

  it('of an image that is not there is refused', async () => {
    expect(await from.publish('nobody', registry)).toMatchObject({ state: 'failed', reason: expect.stringContaining('no image "nobody"') });
  });
});

function openFiles(below: string): string[] {
  return execFileSync('sh', ['-c', `ls -l /proc/${process.pid}/fd | sed -n 's/.* -> //p'`], { encoding: 'utf8' }).split('\n').filter((path) => path.startsWith(`${below}/`) && !path.endsWith('.first'));
}
