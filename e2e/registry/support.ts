import { spawn, spawnSync, type SpawnOptions } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { inject } from 'vitest';

const TOOLS = join(import.meta.dirname, 'tools');

export interface PushAccess {
  readonly username: string;
  readonly secret: string;
  readonly registryUrl: string;
  readonly registryId: string;
  readonly project: string;
  readonly expiresAt: string;
}

export async function api(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${inject('apiUrl')}${path}`, { ...init, headers: { authorization: `Bearer ${inject('apiKey')}`, ...(init.body ? { 'content-type': 'application/json' } : {}), ...init.headers } });
}

export async function pushAccess(): Promise<PushAccess> {
  const reply = await api('/docker-registry/registry-push-access');
  if (reply.status !== 200) throw new Error(await reply.text());
  return (await reply.json()) as PushAccess;
}

export interface Outcome {
  readonly status: number | null;
  readonly output: string;
}

export function run(file: string, args: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream!.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, output }));
  });
}

/** @returns null when it is there, else why the test cannot run */
export function missing(command: string): string | null {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0 ? null : `${command} is not installed`;
}

export function missingGo(): string | null {
  return goCommand() === null ? 'Go is not installed' : null;
}

function goCommand(): string | null {
  return ['go', '/usr/local/go/bin/go', '/usr/lib/go/bin/go'].find((candidate) => spawnSync(candidate, ['version']).status === 0) ?? null;
}

/**
 * Builds a program of tools/go.mod, whose go.sum pins its sources. Kept outside of the checkout under the sum of both files, so that it
 * is built once a machine.
 */
export async function goTool(name: string, args: readonly string[]): Promise<string> {
  const key = createHash('sha256').update(readFileSync(join(TOOLS, 'go.mod'))).update(readFileSync(join(TOOLS, 'go.sum'))).digest('hex').slice(0, 16);
  const file = join('/var/tmp/paddock-registry-tools', key, name);
  if (existsSync(file)) return file;
  mkdirSync(dirname(file), { recursive: true });
  const made = `${file}.${process.pid}`;
  const { status, output } = await run(goCommand()!, [...args.slice(0, args.length - 1), '-o', made, args.at(-1)!], { cwd: TOOLS, env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local' } });
  if (status !== 0) throw new Error(`${name} cannot be built:\n${output.slice(-4000)}`);
  renameSync(made, file);
  return file;
}

export interface LayoutFile {
  readonly path: string;
  readonly content: Buffer | string;
  readonly mode?: number;
}

export interface Layout {
  readonly directory: string;
  /** Of the manifest. */
  readonly digest: string;
  remove(): void;
}

/** An OCI image layout with one image of these layers, as skopeo and crane read it. */
export async function makeLayout(layers: readonly (readonly LayoutFile[])[], config: Record<string, unknown> = {}): Promise<Layout> {
  const directory = mkdtempSync(join(tmpdir(), 'paddock-layout-'));
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
  const put = (content: Buffer | string) => {
    const bytes = Buffer.from(content);
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(directory, 'blobs/sha256', hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const diffIds: string[] = [];
  const described = [];
  for (const files of layers) {
    const tar = await tarOf(files);
    diffIds.push(`sha256:${createHash('sha256').update(tar).digest('hex')}`);
    described.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...put(gzipSync(tar, { level: 1 })) });
  }
  const image = put(JSON.stringify({ architecture: 'amd64', os: 'linux', config, rootfs: { type: 'layers', diff_ids: diffIds } }));
  const manifest = put(JSON.stringify({
    schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...image }, layers: described,
  }));
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(directory, 'index.json'), JSON.stringify({
    schemaVersion: 2, manifests: [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest, platform: { os: 'linux', architecture: 'amd64' }, annotations: { 'org.opencontainers.image.ref.name': 'v1' } }],
  }));
  return { directory, digest: manifest.digest, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

async function tarOf(files: readonly LayoutFile[]): Promise<Buffer> {
  const tar = pack();
  for (const { path, content, mode = 0o644 } of files) tar.entry({ name: path, mode, mtime: new Date(0) }, Buffer.from(content));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
