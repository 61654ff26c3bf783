import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeNode, setXattrAt } from '../src/sys/index.ts';
import { ImageBed, imageOf, sha256, tarOf, type TestImage } from './image-bed.ts';
import { describeTree, PublishBed, shell } from './publish-bed.ts';

const missing = ['docker-registry', 'skopeo'].filter((program) => {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
});
if (missing.length > 0) console.log(`images-docker-registry: skipped, not installed: ${missing.join(', ')}`);

describe.skipIf(missing.length > 0)('the registry that Docker ships', () => {
  let bed: ImageBed;
  let child: ChildProcess;
  let host: string;
  const image = imageOf([
    tarOf([{ name: 'etc', type: '5' }, { name: 'etc/release', data: 'one' }, { name: 'etc/old', data: 'gone' }, { name: 'big', data: Buffer.alloc(5_000_000, 'text ') }]),
    tarOf([{ name: 'etc', type: '5' }, { name: 'etc/release', data: 'two' }, { name: 'etc/.wh.old' }]),
  ], { config: { Cmd: ['/bin/sh'], Env: ['A=1'] } });

  beforeAll(async () => {
    bed = await new ImageBed().open();
    const dir = bed.storage.dir;
    const port = await freePort();
    host = `127.0.0.1:${port}`;
    writeFileSync(join(dir, 'registry.yml'), `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${dir}/registry}}\nhttp: {addr: '${host}'}\n`);
    child = spawn('docker-registry', ['serve', join(dir, 'registry.yml')], { stdio: 'ignore' });
    while (!(await fetch(`http://${host}/v2/`).then(({ ok }) => ok, () => false))) {
      if (child.exitCode !== null) throw new Error('docker-registry ended');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    writeLayout(join(dir, 'layout'), image);
  });
  afterAll(async () => {
    child?.kill();
    await bed?.dispose();
  });

  const push = (target: string, ...options: string[]): void => void execFileSync('skopeo', ['copy', '--quiet', '--dest-tls-verify=false', ...options, `oci:${bed.storage.dir}/layout`, `docker://${host}/${target}`]);

  it.each(['oci', 'v2s2'])('gives images pushed by skopeo as %s', async (format) => {
    push(`team/${format}:1`, '--format', format);
    expect(await bed.pull(`pulled-${format}`, `${host}/team/${format}:1`)).toMatchObject({ state: 'ready', sizeBytes: 5_000_010, config: { cmd: ['/bin/sh'] } });
    const { layers } = bed.images.get(`pulled-${format}`)!;
    expect(layers).toHaveLength(2);
    expect(readFileSync(join(layers[0]!, 'etc/release'), 'utf8')).toBe('two');
    expect(bed.layers()).toHaveLength(2); // both formats share them
  });

  it('says by the first byte whether a layer that is there may be shared', async () => {
    push('team/again:1');
    expect(await bed.pull('before', `${host}/team/again:1`)).toMatchObject({ state: 'ready' });
    expect(await bed.pull('after', `${host}/team/again:1`)).toMatchObject({ state: 'ready' });
    expect((await bed.log('after')).match(/is there already/g)).toHaveLength(2);
    expect(await bed.log('after')).not.toContain('fetched');
  });

  it('says that it has no such image', async () => {
    expect(await bed.pull('none', `${host}/team/none:1`)).toMatchObject({ state: 'failed', reason: expect.stringMatching(/has no .*team\/none:1 \(manifest unknown\)/) });
  });

  it('takes what this runner publishes, once, and other tools read it', async () => {
    const from = await new PublishBed().open();
    try {
      await from.image('made', [(dir) => shell(dir, 'mkdir -p etc sub; echo old > etc/old; head -c 30000000 /dev/urandom > big'), (dir) => {
        shell(dir, 'mkdir -p etc sub; echo new > etc/new; ln etc/new hard');
        makeNode(join(dir, 'etc/old'), 0o20000);
        setXattrAt(`${dir}/sub`, 'trusted.overlay.opaque', Buffer.from('y'));
      }], { Cmd: ['/bin/sh'] });
      const docker = { host, auth: () => null };
      const published = await from.publish('made', docker, 'team/made');
      expect(published).toMatchObject({ state: 'done' });
      const { reference } = published.published!;
      const seen = JSON.parse(execFileSync('skopeo', ['inspect', '--no-tags', '--tls-verify=false', `docker://${reference}`], { encoding: 'utf8' })) as { Layers: string[] };
      expect(seen.Layers).toHaveLength(2);
      execFileSync('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${reference}`, `oci:${bed.storage.dir}/copied:made`]);
      const layer = join(bed.storage.dir, 'copied/blobs/sha256', seen.Layers[1]!.slice(7));
      expect(execFileSync('sh', ['-c', `zstd -dc < ${layer} | tar -tvf -`], { encoding: 'utf8' }).split('\n').map((line) => line.replace(/ +/g, ' ').replace(/ [\d-]{10} [\d:]{5}/, ''))).toEqual(expect.arrayContaining([
        '-rw-r--r-- 0/0 4 etc/new', '---------- 0/0 0 etc/.wh.old', '---------- 0/0 0 sub/.wh..wh..opq', 'hrw-r--r-- 0/0 0 hard link to etc/new',
      ]));
      await from.forget();
      const uploads = (): string => execFileSync('sh', ['-c', `find ${bed.storage.dir}/registry -name data -newer ${layer} | wc -l`], { encoding: 'utf8' });
      expect((await from.publish('made', docker, 'team/made')).published).toEqual(published.published);
      // Taken over from the other repository.
      expect((await from.publish('made', docker, 'team/elsewhere')).published!.reference.split('@')[1]).toBe(reference.split('@')[1]);
      expect(uploads().trim()).toBe('0');
      expect(await bed.pull('back', reference)).toMatchObject({ state: 'ready', config: { cmd: ['/bin/sh'] } });
      expect(bed.images.get('back')!.layers.map(describeTree)).toEqual(from.bed.images.get('made')!.layers.map(describeTree));
    } finally {
      await from.dispose();
    }
  });

  it('that is gone in the middle leaves a failure that may pass', async () => {
    child.kill('SIGKILL');
    expect(await bed.pull('down', `${host}/team/oci:1`)).toMatchObject({ state: 'failed', transient: true, reason: expect.stringContaining('refuses connections') });
  });
});

/** As `oci:` names it to skopeo. */
function writeLayout(dir: string, { manifest, mediaType, digest, blobs }: TestImage): void {
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
  for (const content of [manifest, ...blobs.values()]) writeFileSync(join(dir, 'blobs', sha256(content).replace(':', '/')), content);
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, digest, size: manifest.length }] }));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
