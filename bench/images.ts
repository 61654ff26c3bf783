/**
 * Pulls of a 500 MB image from a registry on this machine, beside `skopeo copy` of the same image to a directory. By itself:
 * `node scripts/run.mjs bench/images.ts`. Needs docker-registry, skopeo and root; the pool is a file of its own.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { layoutOf } from '@paddock/contract';
// What the runner itself is made of, without the runner: the packages have no entry for it.
import { Images, RegistryMaker } from '../packages/runner/src/images/index.ts';
import { BtrfsDisks } from '../packages/runner/src/storage/index.ts';
import { headerOf } from '../packages/runner/test/image-bed.ts';
import type { Figure } from './stats.ts';

const MB = 1_000_000;
const LAYERS = 4;
const LAYER_MB = 125;
const SAMPLES = 5;

/** Layer of files like those of packages: most are small, most bytes are in large ones, and it compresses to two thirds. */
function layerTar(seed: number): Buffer {
  const blocks: Buffer[] = [];
  let size = 0;
  for (let index = 0; size < LAYER_MB * MB; index += 1) {
    const length = index % 100 === 0 ? 4 * MB : index % 10 === 0 ? 60_000 : 3_000;
    const half = randomBytes(Math.ceil(length / 2));
    const data = Buffer.concat([half, Buffer.alloc(length - half.length, 'a line of text that is much like the next one\n')]);
    const name = `layer${seed}/${Math.floor(index / 50)}/file${index}`;
    blocks.push(headerOf({ name: Buffer.from(name), type: '0', linkName: Buffer.alloc(0), mode: 0o644, uid: 0, gid: 0, mtime: 1_700_000_000, size: length }), data, Buffer.alloc((512 - (length % 512)) % 512));
    size += length;
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** An OCI layout that skopeo can push. */
function writeLayout(dir: string): { unpacked: number; compressed: number } {
  const blobs = join(dir, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (content: Buffer): { digest: string; size: number } => {
    const hex = createHash('sha256').update(content).digest('hex');
    writeFileSync(join(blobs, hex), content);
    return { digest: `sha256:${hex}`, size: content.length };
  };
  const diffIds: string[] = [];
  const layers: object[] = [];
  let [unpacked, compressed] = [0, 0];
  for (let index = 0; index < LAYERS; index += 1) {
    const tar = layerTar(index);
    const blob = put(gzipSync(tar, { level: 6 }));
    diffIds.push(`sha256:${createHash('sha256').update(tar).digest('hex')}`);
    layers.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...blob });
    unpacked += tar.length;
    compressed += blob.size;
  }
  const config = put(Buffer.from(JSON.stringify({ os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } })));
  const manifest = put(Buffer.from(JSON.stringify({
    schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config }, layers,
  })));
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest }] }));
  return { unpacked, compressed };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startRegistry(dir: string, port: number): Promise<ChildProcess> {
  const config = join(dir, 'registry.yml');
  writeFileSync(config, `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${dir}/registry}}\nhttp: {addr: '127.0.0.1:${port}'}\n`);
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  for (;;) {
    if (await fetch(`http://127.0.0.1:${port}/v2/`).then(({ ok }) => ok, () => false)) return child;
    if (child.exitCode !== null) throw new Error('docker-registry ended');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`;

export async function images(): Promise<Figure[]> {
  const dir = mkdtempSync(join(tmpdir(), 'paddock-bench-images-'));
  const disks = new BtrfsDisks({ layout: layoutOf(join(dir, 'data'), join(dir, 'run')), sizeGiB: 20, device: null, log: { info: () => undefined, warn: () => undefined } });
  mkdirSync(join(dir, 'run'), { recursive: true });
  let registry: ChildProcess | null = null;
  try {
    const { unpacked, compressed } = writeLayout(join(dir, 'layout'));
    const host = `127.0.0.1:${await freePort()}`;
    registry = await startRegistry(dir, Number(host.split(':')[1]));
    execFileSync('skopeo', ['copy', '--quiet', '--dest-tls-verify=false', `oci:${dir}/layout`, `docker://${host}/bench/image:1`]);
    rmSync(join(dir, 'layout'), { recursive: true });
    console.log(`  image of ${LAYERS} layers, ${Math.round(unpacked / MB)} MB unpacked, ${Math.round(compressed / MB)} MB compressed`);
    mkdirSync(disks.poolDir, { recursive: true });
    await disks.open();
    const store = new Images({ disks, log: { info: () => undefined, warn: console.error }, onChange: () => undefined });
    store.register('registry', new RegistryMaker({ config: { insecure: [], mirrors: {}, imageLimitGiB: 10 }, disks }));
    store.needs(() => new Set());
    await store.open();
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let sample = 0; sample < SAMPLES; sample += 1) {
      let since = performance.now();
      execFileSync('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${host}/bench/image:1`, `dir:${dir}/copy`]);
      theirs.push(performance.now() - since);
      rmSync(join(dir, 'copy'), { recursive: true });
      let longest = 0;
      let last = performance.now();
      const watch = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 1);
      since = performance.now();
      await store.put('bench', { kind: 'registry', reference: `${host}/bench/image:1`, auth: null });
      await store.settled('bench');
      ours.push(performance.now() - since);
      clearInterval(watch);
      const image = store.find('bench');
      if (image?.state !== 'ready') throw new Error(`pull: ${image?.reason}`);
      console.log(`  skopeo ${seconds(theirs.at(-1)!)}, pull ${seconds(ours.at(-1)!)}, longest stall of the event loop ${Math.round(longest)} ms`);
      await store.remove('bench');
    }
    await store.close();
    const ratio = median(ours) / median(theirs);
    return [{ what: 'pull of a 500 MB image, against skopeo copy to a directory', measured: `${ratio.toFixed(2)}x (${seconds(median(ours))})`, limit: '1.3x', met: ratio <= 1.3 }];
  } finally {
    registry?.kill();
    await disks.close().catch(() => undefined);
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) console.log(await images());
