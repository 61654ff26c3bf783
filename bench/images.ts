/**
 * Pulls of a 500 MB image from a registry on this machine, beside `skopeo copy` of the same image to a directory. By itself:
 * `node scripts/run.mjs bench/images.ts`. Needs docker-registry, skopeo and root.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { gzipSync } from 'node:zlib';
import type { RunnerEvent, RunnerImage } from '@paddock/contract';
import type { Paddock } from '../e2e/support/harness.ts';
import { startServer } from './server.ts';
import { headerOf } from '../packages/runner/test/image-bed.ts';
import { askUnix } from '../packages/runner/test/support.ts';
import { atMost, row, series, timed, type Figure } from './stats.ts';

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

/** The runner says when an image is there: asking would take processor time from what is measured. */
async function imageEvents(socketPath: string): Promise<{ next(name: string): Promise<RunnerImage>; close(): void }> {
  const waiting = new Map<string, (image: RunnerImage) => void>();
  const call = request({ socketPath, path: '/v1/events' });
  call.on('error', () => undefined).end();
  const [reply] = (await once(call, 'response')) as [IncomingMessage];
  createInterface({ input: reply }).on('error', () => undefined).on('line', (line) => {
    const event = JSON.parse(line) as RunnerEvent;
    if (event.type !== 'image' || event.image.state === 'preparing') return;
    waiting.get(event.image.name)?.(event.image);
    waiting.delete(event.image.name);
  });
  return { next: (name) => new Promise((resolve) => waiting.set(name, resolve)), close: () => call.destroy() };
}

/** Asks something else of the runner all the time. @returns the longest that it waited, in ms */
async function longestWait(socket: string, work: () => Promise<void>): Promise<number> {
  let [longest, over] = [0, false];
  const asking = (async () => {
    while (!over) longest = Math.max(longest, await timed(() => askUnix(socket, 'GET', '/v1/sandboxes')));
  })();
  await work();
  over = true;
  await asking;
  return longest;
}

export async function images(paddock: Paddock): Promise<Figure[]> {
  console.log('\nPulls from a registry on this machine');
  const dir = mkdtempSync(join(tmpdir(), 'paddock-bench-images-'));
  const socket = paddock.layout.runnerSocket;
  let registry: ChildProcess | null = null;
  let stopListening = (): void => undefined;
  try {
    const { unpacked, compressed } = writeLayout(join(dir, 'layout'));
    const host = `127.0.0.1:${await freePort()}`;
    registry = await startRegistry(dir, Number(host.split(':')[1]));
    execFileSync('skopeo', ['copy', '--quiet', '--dest-tls-verify=false', `oci:${dir}/layout`, `docker://${host}/bench/image:1`]);
    rmSync(join(dir, 'layout'), { recursive: true });
    console.log(`image of ${LAYERS} layers, ${Math.round(unpacked / MB)} MB unpacked, ${Math.round(compressed / MB)} MB compressed`);
    const outcomes = await imageEvents(socket);
    stopListening = outcomes.close;
    const pull = async (): Promise<void> => {
      const outcome = outcomes.next('bench');
      await askUnix(socket, 'PUT', '/v1/images/bench', { kind: 'registry', reference: `${host}/bench/image:1`, auth: null });
      const image = await outcome;
      if (image.state === 'failed') throw new Error(`pull: ${image.reason}`);
    };
    const [ours, theirs, unpacks, waits]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let sample = -1; sample < SAMPLES; sample += 1) {
      const copied = await timed(async () => void execFileSync('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${host}/bench/image:1`, `dir:${dir}/copy`]));
      // What a pull does beyond a copy, by the tool that everybody has: all layers at once.
      mkdirSync(join(dir, 'tree'));
      const extracted = await timed(async () => void execFileSync('sh', ['-c', `cd ${dir}/copy && ls | grep -E '^[0-9a-f]{64}$' | xargs -P ${LAYERS} -I {} sh -c 'head -c 2 {} | od -An -tx1 | grep -q "1f 8b" && tar -xzf {} -C ${dir}/tree; true'`]));
      for (const made of ['copy', 'tree']) rmSync(join(dir, made), { recursive: true });
      const pulled = await timed(pull);
      await askUnix(socket, 'DELETE', '/v1/images/bench');
      if (sample < 0) continue;
      theirs.push(copied);
      unpacks.push(copied + extracted);
      ours.push(pulled);
    }
    waits.push(await longestWait(socket, pull));
    await askUnix(socket, 'DELETE', '/v1/images/bench');
    const [copy, own] = [series('skopeo copy to a directory', theirs), series('pull, unpacked and ready', ours)];
    const both = series('skopeo copy, then tar of all layers at once', unpacks);
    console.log(row(copy));
    console.log(row(both));
    console.log(row(own, `longest that the runner kept others waiting: ${Math.round(waits[0]!)} ms`));
    return [
      atMost('pull of a 500 MB image, beside skopeo copy', own.p50 / copy.p50, 1.3, 'x'),
      atMost('pull of a 500 MB image, beside copy and tar', own.p50 / both.p50, 1, 'x'),
    ];
  } finally {
    stopListening();
    registry?.kill();
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  const paddock = await startServer({ warmPool: '0', env: { PADDOCK_POOL_SIZE_GIB: '200' } });
  try {
    console.log(await images(paddock));
  } finally {
    await paddock.stop();
  }
}
