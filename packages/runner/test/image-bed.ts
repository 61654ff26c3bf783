/** Images made in a test, registries that serve them from memory, and a store that pulls them. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { RegistryAuth, RunnerImage } from '@paddock/contract';
import { Images, RegistryMaker } from '../src/images/index.ts';
import { BtrfsDisks } from '../src/storage/index.ts';
import { StorageBed } from './storage-bed.ts';

export interface TestEntry {
  readonly name: string;
  /** As in a header; default: a file. */
  readonly type?: string;
  readonly data?: string | Buffer;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  /** In the header, whatever there is. */
  readonly size?: number;
  readonly pax?: Readonly<Record<string, string | Buffer>>;
}

/** A tar with these entries, written by hand so that it can be anything. */
export function tarOf(entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(entryBlocks), Buffer.alloc(1024)]);
}

export function entryBlocks(entry: TestEntry): Buffer[] {
  const { name, type = '0', linkName = '', mode = type === '5' ? 0o755 : 0o644, uid = 0, gid = 0, mtime = 1_700_000_000, pax = {} } = entry;
  const data = Buffer.from(entry.data ?? '');
  const extended: Record<string, string | Buffer> = { ...pax };
  if (Buffer.byteLength(name) > 100) extended['path'] = name;
  if (Buffer.byteLength(linkName) > 100) extended['linkpath'] = linkName;
  const before = Object.keys(extended).length === 0 ? [] : padded('x', 'pax', paxBody(extended));
  const header = headerOf({ name: Buffer.from(name).subarray(0, 100), type, linkName: Buffer.from(linkName).subarray(0, 100), mode, uid, gid, mtime, size: entry.size ?? data.length });
  return [...before, header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
}

function padded(type: string, name: string, body: Buffer): Buffer[] {
  return [headerOf({ name: Buffer.from(name), type, linkName: Buffer.alloc(0), mode: 0o644, uid: 0, gid: 0, mtime: 0, size: body.length }), body, Buffer.alloc((512 - (body.length % 512)) % 512)];
}

export function paxBody(records: Readonly<Record<string, string | Buffer>>): Buffer {
  return Buffer.concat(Object.entries(records).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  }));
}

interface RawHeader {
  readonly name: Buffer;
  readonly type: string;
  readonly linkName: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly size: number;
}

export function headerOf({ name, type, linkName, mode, uid, gid, mtime, size }: RawHeader): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number): void => {
    if (value < 8 ** (length - 1)) return void block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
    block.writeBigUInt64BE(BigInt(value), at + length - 8);
    block[at] = 0x80 | block[at]!;
  };
  name.copy(block, 0);
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(size, 124, 12);
  octal(Math.max(0, mtime), 136, 12);
  block.write(type, 156, 'latin1');
  linkName.copy(block, 157);
  block.write('ustar\u000000', 257, 'latin1');
  block.write('        ', 148, 'latin1');
  block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

export function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

export interface TestImage {
  readonly digest: string;
  readonly manifest: Buffer;
  readonly mediaType: string;
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly diffIds: readonly string[];
  /** Of blobs, lowest layer first. */
  readonly layerDigests: readonly string[];
}

export interface ImageOptions {
  readonly config?: object;
  readonly compress?: (tar: Buffer) => Buffer;
  readonly layerType?: string;
  readonly architecture?: string;
  /** Over the manifest's fields. */
  readonly manifest?: object;
  readonly diffIds?: readonly string[];
}

/** @param tars lowest layer first */
export function imageOf(tars: readonly Buffer[], options: ImageOptions = {}): TestImage {
  const { compress = (tar: Buffer) => gzipSync(tar, { level: 1 }), layerType = 'application/vnd.oci.image.layer.v1.tar+gzip', architecture = process.arch === 'x64' ? 'amd64' : process.arch } = options;
  const layers = tars.map((tar) => compress(tar));
  const diffIds = options.diffIds ?? tars.map(sha256);
  const config = Buffer.from(JSON.stringify({ os: 'linux', architecture, config: options.config ?? {}, rootfs: { type: 'layers', diff_ids: diffIds } }));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2, mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
    layers: layers.map((layer) => ({ mediaType: layerType, digest: sha256(layer), size: layer.length })),
    ...options.manifest,
  }));
  const blobs = new Map([config, ...layers].map((content) => [sha256(content), content]));
  return { digest: sha256(manifest), manifest, mediaType, blobs, diffIds, layerDigests: layers.map(sha256) };
}

type Handler = (request: IncomingMessage, reply: ServerResponse, next: () => void) => void;

/** A registry that is right unless `before` does something else first. */
export class MemoryRegistry {
  readonly requests: Array<{ readonly path: string; readonly authorization: string | undefined; readonly range: string | undefined }> = [];
  /** Gets each request before the registry does. */
  before: Handler = (_, __, next) => next();
  readonly #content = new Map<string, { readonly type: string; readonly body: Buffer }>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((request, reply) => {
      this.requests.push({ path: request.url!, authorization: request.headers.authorization, range: request.headers.range });
      this.before(request, reply, () => this.#answer(request, reply));
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    });
  }

  static async start(port = 0): Promise<MemoryRegistry> {
    const registry = new MemoryRegistry();
    registry.#server.listen(port, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** @returns reference by digest */
  add(repository: string, image: TestImage, tag = 'latest'): string {
    for (const version of [tag, image.digest]) this.put(`/v2/${repository}/manifests/${version}`, image.mediaType, image.manifest);
    for (const [digest, body] of image.blobs) this.put(`/v2/${repository}/blobs/${digest}`, 'application/octet-stream', body);
    return `${this.host}/${repository}@${image.digest}`;
  }

  put(path: string, type: string, body: Buffer): void {
    this.#content.set(path, { type, body });
  }

  count(pattern: RegExp): number {
    return this.requests.filter(({ path }) => pattern.test(path)).length;
  }

  /** Those that want more than to know whether they could have it. */
  downloads(pattern: RegExp): number {
    return this.requests.filter(({ path, range }) => pattern.test(path) && range !== 'bytes=0-0').length;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, reply: ServerResponse): void {
    const content = this.#content.get(request.url!.split('?')[0]!);
    if (content === undefined) {
      reply.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ errors: [{ code: 'UNKNOWN', message: 'not known here' }] }));
      return;
    }
    const [asked, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const from = Number(first ?? 0);
    const body = content.body.subarray(from, last ? Number(last) + 1 : undefined);
    const partial = asked === undefined ? {} : { 'content-range': `bytes ${from}-${from + body.length - 1}/${content.body.length}` };
    reply.writeHead(asked === undefined ? 200 : 206, { 'content-type': content.type, 'content-length': body.length, ...partial }).end(body);
  }
}

export interface StoreOptions {
  readonly insecure?: readonly string[];
  readonly mirrors?: Readonly<Record<string, readonly string[]>>;
  readonly imageLimitGiB?: number;
  readonly poolGiB?: number;
}

/** An image store on a pool of its own. */
export class ImageBed {
  readonly storage = new StorageBed();
  readonly disks: BtrfsDisks;
  readonly seen: RunnerImage[] = [];
  /** Called with each as it is told. */
  hear: (image: RunnerImage) => void = () => undefined;
  images!: Images;
  inUse: ReadonlySet<string> | null = new Set();
  readonly #options: StoreOptions;

  constructor(options: StoreOptions = {}) {
    this.#options = options;
    this.disks = new BtrfsDisks(this.storage.settings(options.poolGiB));
  }

  async open(): Promise<this> {
    await this.disks.open();
    await this.reopen();
    return this;
  }

  /** As a new runner would. */
  async reopen(): Promise<void> {
    const { insecure = [], mirrors = {}, imageLimitGiB = 10 } = this.#options;
    await this.images?.close();
    this.images = new Images({ disks: this.disks, log: this.storage.log, onChange: (image) => {
      this.seen.push(image);
      this.hear(image);
    } });
    this.images.register('registry', new RegistryMaker({ config: { insecure, mirrors, imageLimitGiB }, disks: this.disks }));
    await this.images.open();
    this.images.needs(() => this.inUse);
    await this.images.collect();
  }

  /** Pulls and waits for the outcome. */
  async pull(name: string, reference: string, auth: RegistryAuth | null = null): Promise<RunnerImage> {
    await this.images.put(name, { kind: 'registry', reference, auth });
    await this.images.settled(name);
    return this.images.find(name)!;
  }

  /** Layer directories, whatever names them. */
  layers(): string[] {
    return readdirSync(this.disks.layersDir).filter((name) => !name.startsWith('.')).sort();
  }

  /** What work in progress or cut short has on disk. */
  leftovers(): string[] {
    return ['.builds', '.trash'].flatMap((dir) => readdirSync(join(this.disks.layersDir, dir)).map((name) => `${dir}/${name}`));
  }

  async log(name: string): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.images.log(name, false, new AbortController().signal) ?? []) chunks.push(chunk);
    return Buffer.concat(chunks).toString('utf8');
  }

  async dispose(): Promise<void> {
    await this.images?.close();
    await this.disks.close();
    this.storage.dispose();
  }
}
