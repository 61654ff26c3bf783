import { createHash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { loadRecipe } from '../../packages/runner/src/images/recipe.ts';
import '../sdk/support.ts';

/** Where the runner keeps the tar of the slim image's tree, see harness.ts. */
const CACHE = process.env['PADDOCK_IMAGE_CACHE'] ?? '/var/tmp/paddock-test-cache';

interface Blob {
  readonly type: string;
  readonly size: number;
  open(start: number): Readable;
}

/**
 * A registry that only hands out, and takes no credentials: Docker Hub as the server under test sees it, by its mirror setting. Every
 * repository and tag that `publish` named holds the tree of the slim image.
 */
export class Mirror {
  readonly #blobs = new Map<string, Blob>();
  readonly #tags = new Map<string, string>();
  readonly requests: string[] = [];
  /** Chunks of large blobs come this far apart, in ms. */
  delayMs = 0;
  /** Answered to the next so many requests. */
  refuse: { status: number; times: number } = { status: 429, times: 0 };
  #server: Server | null = null;

  /** @param port where the server looks for Docker Hub */
  async start(port = inject('mirrorPort')): Promise<void> {
    this.#server = createServer((req, res) => this.#serve(req, res));
    await new Promise<void>((resolve, reject) => this.#server!.once('error', reject).listen(port, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => (this.#server ? this.#server.close(resolve) : resolve(null)));
  }

  /**
   * @param reference `library/python:3.12` @param config what the image says of itself
   * @param variant the same tree in a layer with a digest of its own, which nobody can have yet @returns the manifest's digest
   */
  async publish(reference: string, config: Readonly<Record<string, unknown>> = {}, variant = 0): Promise<string> {
    const layer = await slimLayer(variant);
    this.#blobs.set(layer.digest, layer);
    const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const image = this.#add('application/vnd.oci.image.config.v1+json', {
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer.digest] }, config: { Env: [`PATH=${PATH}`], Cmd: ['python3'], ...config },
    });
    const manifest = this.#add('application/vnd.oci.image.manifest.v1+json', {
      schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: image.type, digest: image.digest, size: image.size }, layers: [{ mediaType: layer.type, digest: layer.digest, size: layer.size }],
    });
    this.#tags.set(reference, manifest.digest);
    return manifest.digest;
  }

  #add(type: string, content: object): { readonly digest: string; readonly type: string; readonly size: number } {
    const bytes = Buffer.from(JSON.stringify(content));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    this.#blobs.set(digest, { type, size: bytes.length, open: (start) => Readable.from([bytes.subarray(start)]) });
    return { digest, type, size: bytes.length };
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const path = decodeURIComponent((req.url ?? '').split('?')[0]!);
    this.requests.push(`${req.method} ${path}`);
    if (this.refuse.times > 0) {
      this.refuse.times--;
      return void res.writeHead(this.refuse.status, { 'content-type': 'application/json' }).end('{"errors":[{"code":"TOOMANYREQUESTS","message":"later"}]}');
    }
    if (path === '/v2/') return void res.writeHead(200).end();
    const [, repository, kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
    const digest = kind === 'manifests' && !reference.startsWith('sha256:') ? this.#tags.get(`${repository}:${reference}`) : reference;
    const blob = digest === undefined ? undefined : this.#blobs.get(digest);
    if (!blob) return void res.writeHead(404, { 'content-type': 'application/json' }).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}');
    const start = Number(/^bytes=(\d+)-$/.exec(req.headers.range ?? '')?.[1] ?? 0);
    res.writeHead(start > 0 ? 206 : 200, {
      'content-type': blob.type, 'content-length': blob.size - start, 'docker-content-digest': digest, ...(start > 0 ? { 'content-range': `bytes ${start}-${blob.size - 1}/${blob.size}` } : {}),
    });
    if (req.method === 'HEAD') res.end();
    else void pipeline(blob.open(start), slowly(() => this.delayMs), res).catch(() => undefined); // the client went away
  }
}

function slowly(delayMs: () => number) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      if (delayMs() > 0) await sleep(delayMs());
      yield chunk;
    }
  };
}

const slim = new Map<number, Promise<Blob & { readonly digest: string }>>();

/** The tree that the runner of this test run made its default image of, as a tar with more or less zeros at its end. */
function slimLayer(variant: number): Promise<Blob & { readonly digest: string }> {
  const made = slim.get(variant) ?? makeLayer(Buffer.alloc(variant * 10_240));
  slim.set(variant, made);
  return made;
}

async function makeLayer(zeros: Buffer): Promise<Blob & { readonly digest: string }> {
  const file = join(CACHE, `trixie-${loadRecipe('slim')!.digest}.tar`);
  if (!existsSync(file)) throw new Error(`${file} is missing: the server under test should have made it`);
  const { size } = statSync(file);
  async function* content(start: number): AsyncGenerator<Buffer> {
    if (start < size) yield* createReadStream(file, { start, highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>;
    yield zeros.subarray(Math.max(0, start - size));
  }
  const hash = createHash('sha256');
  for await (const chunk of content(0)) hash.update(chunk);
  return {
    digest: `sha256:${hash.digest('hex')}`, type: 'application/vnd.oci.image.layer.v1.tar', size: size + zeros.length,
    open: (start) => Readable.from(content(start), { objectMode: false }),
  };
}
