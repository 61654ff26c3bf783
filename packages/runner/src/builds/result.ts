/** Takes a built image out of its sandbox's disk into the store. Everything read here is whatever the sandbox wanted it to be. */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { MakeFailed, type MadeImage, type MakeContext, type RecordedConfig } from '../images/index.ts';
import { unpackLayer } from '../images/unpack/unpack.ts';
import { readConfig } from '../registry-client/index.ts';
import type { StoredBase } from './base-store.ts';
import type { BuildSandbox } from './build-sandbox.ts';
import { exportScript } from './build-script.ts';

/** A configuration is some kilobytes: environment, labels and one line of history for each instruction. */
const MAX_CONFIG_BYTES = 4 * 1024 ** 2;

/** The kernel stacks at most 500 layers; more than this many is no Dockerfile. */
const MAX_LAYERS = 400;

/** @param setsWorkDir whether the Dockerfile says where to work: buildah writes `/` where nobody did */
export async function takeResult(sandbox: BuildSandbox, bases: readonly StoredBase[], setsWorkDir: boolean, context: MakeContext): Promise<MadeImage> {
  const { config: written, diffIds } = readResult(sandbox);
  const base = bases.find(({ layer }) => layer === diffIds[0]) ?? null;
  const config = !setsWorkDir && written.workDir === '/' ? { ...written, workDir: base?.base.config.workDir ?? null } : written;
  const own = base === null ? diffIds : diffIds.slice(1);
  const proven = sandbox.proven();
  const wanted = await missing(own, proven, context);
  if (wanted.length > 0) {
    const present = new Set([...own.filter((diffId) => !wanted.includes(diffId)), ...(base === null ? [] : [base.layer])]);
    await exportLayers(sandbox, [...present]);
  }
  // What it wrote no longer changes while it is read.
  await sandbox.stop();
  for (const [index, diffId] of wanted.entries()) {
    context.progress({ fraction: 0.92 + (0.07 * index) / wanted.length, text: `Storing layer ${index + 1} of ${wanted.length}` });
    await importLayer(sandbox, diffId, context);
    proven.add(diffId);
  }
  sandbox.prove(proven);
  const layers = [...new Set([...own.map(layerName).reverse(), ...(base?.base.layers ?? [])])];
  if (layers.length === 0) throw new MakeFailed('The built image has no files: copy something into it');
  let sizeBytes = 0;
  for (const name of layers) sizeBytes += (await context.layers.obtain(name, () => Promise.reject(new Error(`The layer ${name} is missing`)))).sizeBytes;
  return { layers, disk: null, sizeBytes, config, origin: {} };
}

/**
 * Those that have to come from the sandbox: not in the store, or there on account of others. Naming a digest must not be
 * enough to get somebody else's files.
 */
async function missing(diffIds: readonly string[], proven: ReadonlySet<string>, { layers }: MakeContext): Promise<string[]> {
  const wanted: string[] = [];
  for (const diffId of new Set(diffIds)) {
    if (!proven.has(diffId)) {
      wanted.push(diffId);
      continue;
    }
    const absent = new Error('not in the store');
    try {
      await layers.obtain(layerName(diffId), () => Promise.reject(absent));
    } catch (error) {
      if (error !== absent) throw error;
      wanted.push(diffId);
    }
  }
  return wanted;
}

async function exportLayers(sandbox: BuildSandbox, present: readonly string[]): Promise<void> {
  await sandbox.write('export.sh', exportScript(present));
  let said = '';
  const status = await sandbox.run('export.sh', (text) => (said = (said + text).slice(-1_000)));
  if (status === 0) return;
  if (/disk quota exceeded|no space left/i.test(said)) throw new DiskFull('The built image does not fit on the disk');
  throw new MakeFailed(`The built image could not be read: ${said.trim()}`);
}

/** The result does not fit beside the cache. */
export class DiskFull extends Error {}

async function importLayer(sandbox: BuildSandbox, diffId: string, { layers, signal }: MakeContext): Promise<void> {
  let unpacked = false;
  await layers.obtain(layerName(diffId), (dir) => {
    unpacked = true;
    return unpackLayer({ source: openBlob(sandbox, diffId), dir, diffId: `sha256:${diffId}`, signal });
  });
  if (!unpacked && (await digestOf(openBlob(sandbox, diffId))) !== diffId) throw new MakeFailed('A layer of the built image is not what its digest says');
}

/** The stream closes the file. */
function openBlob(sandbox: BuildSandbox, diffId: string): Readable {
  try {
    const { fd } = sandbox.openResult(`blobs/sha256/${diffId}`);
    return createReadStream('', { fd, start: 0 });
  } catch (error) {
    throw new MakeFailed('A layer of the built image is missing', { cause: error });
  }
}

async function digestOf(content: Readable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of content) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

interface Result {
  readonly config: RecordedConfig;
  /** Hex, lowest first. */
  readonly diffIds: readonly string[];
}

function readResult(sandbox: BuildSandbox): Result {
  let document: unknown;
  try {
    const { fd, size } = sandbox.openResult('config.json');
    try {
      if (size > MAX_CONFIG_BYTES) throw new Error('too large');
      document = JSON.parse(readFileSync(fd, 'utf8'));
    } finally {
      closeSync(fd);
    }
    return parseResult(document);
  } catch (error) {
    if (error instanceof MakeFailed) throw error;
    throw new MakeFailed('The configuration of the built image cannot be read', { cause: error });
  }
}

function parseResult(document: unknown): Result {
  const { rootfs, config: written } = document as { rootfs: { diff_ids: unknown }; config?: unknown };
  const { diff_ids: listed } = rootfs;
  const diffIds = (Array.isArray(listed) ? listed : []).map((id: unknown) => (typeof id === 'string' ? /^sha256:([0-9a-f]{64})$/.exec(id)?.[1] : undefined) ?? '');
  if (diffIds.length > MAX_LAYERS || diffIds.includes('')) throw new Error('no list of layers');
  const config = readConfig(written);
  if (config === null) throw new MakeFailed('The built image has more than a MiB of labels, environment and the like');
  return { diffIds, config };
}

function layerName(diffId: string): string {
  return `sha256-${diffId}`;
}
