/**
 * Pushes to and pulls from the registry of a server by skopeo, beside Debian's docker-registry on the same disk, and what a push costs
 * others: the API's answers meanwhile. By itself: `node scripts/run.mjs bench/registry.ts [--quick]`. Needs skopeo; docker-registry for the ratios.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { makeLayout, type PushAccess } from '../e2e/registry/support.ts';
import { startServer } from './server.ts';
import { answering } from './answering.ts';
import type { Paddock } from '../e2e/support/types.ts';
import { row, series, timed, type Series } from './stats.ts';

const LAYERS = 4;
const LAYER_BYTES = 60_000_000;
const run = promisify(execFile);

interface Target {
  readonly name: string;
  /** `docker://host/prefix` */
  readonly prefix: string;
  /** Of source or destination. */
  readonly options: (side: 'src' | 'dest') => readonly string[];
}

/** New bytes each time: neither side has them. */
const image = () => makeLayout(Array.from({ length: LAYERS }, (_, i) => [{ path: `layer-${i}`, content: randomBytes(LAYER_BYTES) }]));
const skopeo = (...args: string[]) => run('skopeo', ['--insecure-policy', 'copy', '--quiet', ...args]);

interface Rounds {
  readonly target: Target;
  readonly pushes: number[];
  readonly pulls: number[];
}

/** One image through one registry. */
async function round({ target, pushes, pulls }: Rounds, meanwhile: (push: Promise<unknown>) => Promise<void>): Promise<void> {
  const layout = await image();
  const directory = mkdtempSync(join(tmpdir(), 'paddock-bench-pull-'));
  try {
    const name = `${target.prefix}/bench-${Date.now()}:v1`;
    pushes.push(await timed(() => meanwhile(skopeo(...target.options('dest'), `oci:${layout.directory}:v1`, name))));
    pulls.push(await timed(() => skopeo(...target.options('src'), name, `dir:${directory}`)));
  } finally {
    layout.remove();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function ours(paddock: Paddock): Promise<Target> {
  const reply = await fetch(`${paddock.apiUrl}/docker-registry/registry-push-access`, { headers: { authorization: `Bearer ${paddock.apiKey}` } });
  const { username, secret, registryUrl, project } = (await reply.json()) as PushAccess;
  return { name: 'Paddock', prefix: `docker://${registryUrl}/${project}`, options: (side) => [`--${side}-tls-verify=false`, `--${side}-creds`, `${username}:${secret}`] };
}

async function debians(directory: string): Promise<{ target: Target; child: ChildProcess }> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  writeFileSync(join(directory, 'config.yml'), `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${directory}/data}}\nhttp: {addr: '127.0.0.1:${port}'}\n`);
  const child = spawn('docker-registry', ['serve', join(directory, 'config.yml')], { stdio: 'ignore' });
  while (!(await fetch(`http://127.0.0.1:${port}/v2/`).then((reply) => reply.ok, () => false))) await sleep(50);
  return { child, target: { name: 'docker-registry', prefix: `docker://127.0.0.1:${port}`, options: (side) => [`--${side}-tls-verify=false`] } };
}

const samples = process.argv.includes('--quick') ? 3 : 7;
const megabytes = (LAYERS * LAYER_BYTES) / 1e6;
const rate = ({ p50 }: Series) => `${((megabytes / p50) * 1000).toFixed(0)} MB/s`;
const paddock = await startServer({ warmPool: '0' });
const directory = mkdtempSync(join('/var/tmp', 'paddock-bench-registry-'));
let other: Awaited<ReturnType<typeof debians>> | null = null;
try {
  const [idle, busy]: [number[], number[]] = [[], []];
  await answering(paddock, sleep(2000), idle);
  const own: Rounds = { target: await ours(paddock), pushes: [], pulls: [] };
  let theirs: Rounds | null = null;
  try {
    execFileSync('docker-registry', ['--version'], { stdio: 'ignore' });
    other = await debians(directory);
    theirs = { target: other.target, pushes: [], pulls: [] };
  } catch {
    console.log('docker-registry is not installed: no ratios in this run.');
  }
  // In turns, so that what else the machine does meets both.
  for (let i = 0; i < samples; i += 1) {
    await round(own, (push) => answering(paddock, push, busy));
    if (theirs) await round(theirs, async (push) => void (await push));
  }
  console.log(`\nRegistry, images of ${LAYERS} layers of ${LAYER_BYTES / 1e6} MB that do not compress`);
  for (const [what, ours, beside] of [['push to', own.pushes, theirs?.pushes], ['pull from', own.pulls, theirs?.pulls]] as const) {
    const mine = series(`${what} Paddock`, ours);
    console.log(row(mine, rate(mine)));
    if (!beside) continue;
    const its = series(`${what} docker-registry`, beside);
    console.log(row(its, `${rate(its)}; Paddock ${(mine.p50 / its.p50).toFixed(2)}x its time`));
  }
  console.log(row(series('GET /api/users/me, idle', idle)));
  console.log(row(series('GET /api/users/me during a push', busy)));
} finally {
  other?.child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
  await paddock.stop();
}
