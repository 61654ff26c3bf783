/** A registry of our own on disk, images whose layers a test fills by hand, and what a tree looks like. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RegistryAuth, RunnerEvent, RunnerPublication } from '@paddock/contract';
import { createRegistry, DiskBlobs, RegistryCredentials, type Registry, type RegistryAction, type RegistryEvent } from '@paddock/store';
import { Publications } from '../src/images/index.ts';
import { readXattrs } from '../src/sys/index.ts';
import { ImageBed, imageOf, MemoryRegistry, tarOf } from './image-bed.ts';

export class OwnRegistry {
  readonly events: Array<Extract<RegistryEvent, { type: 'request' }>> = [];
  readonly registry: Registry;
  /** Gets each request before the registry does. */
  before: (request: IncomingMessage, reply: ServerResponse, next: () => void) => void = (_, __, next) => next();
  readonly #dir = mkdtempSync(join(tmpdir(), 'paddock-own-registry-'));
  readonly #credentials = new RegistryCredentials(Buffer.alloc(32, 5));
  readonly #server: Server;

  private constructor() {
    this.registry = createRegistry({
      blobs: new DiskBlobs(this.#dir), credentials: this.#credentials, originOf: (request) => `http://${request.headers.host}`,
      report: (event) => void (event.type === 'request' && this.events.push(event)),
    });
    this.#server = createServer((request, reply) => this.before(request, reply, () => this.registry.handle(request, reply)));
  }

  static async start(): Promise<OwnRegistry> {
    const own = new OwnRegistry();
    await new Promise<void>((resolve) => own.#server.listen(0, '127.0.0.1', resolve));
    return own;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  auth(repositories = 'paddock/', actions: readonly RegistryAction[] = ['pull', 'push']): RegistryAuth {
    const { username, secret } = this.#credentials.issue('runner', [{ repositories, actions }], 3_600_000);
    return { host: this.host, username, password: secret };
  }

  /** Bytes that clients sent since the index. */
  received(since = 0): number {
    return this.events.slice(since).reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.registry.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** A store that publishes. */
export class PublishBed {
  readonly bed: ImageBed;
  publications!: Publications;
  readonly #ended: RunnerPublication[] = [];
  #sources: MemoryRegistry | null = null;

  constructor(bed = new ImageBed()) {
    this.bed = bed;
  }

  async open(): Promise<this> {
    await this.bed.open();
    this.reopen();
    this.#sources = await MemoryRegistry.start();
    return this;
  }

  reopen(): void {
    const publish = (event: RunnerEvent): void => void (event.type === 'publication' && this.#ended.push(event.publication));
    this.publications = new Publications({ images: this.bed.images, settings: { insecure: [], mirrors: {} }, publish, log: this.bed.storage.log });
  }

  /** An image of as many layers as functions, which fill their directories, the lowest first. */
  async image(name: string, fill: ReadonlyArray<(dir: string) => void>, config: object = {}): Promise<void> {
    const made = imageOf(fill.map((_, index) => tarOf([{ name: './', type: '5' }, { name: `.unique-${name}-${index}`, data: '' }])), { config });
    const pulled = await this.bed.pull(name, this.#sources!.add(`made/${name}`, made));
    if (pulled.state !== 'ready') throw new Error(JSON.stringify(pulled));
    const { layers } = this.bed.images.get(name)!;
    fill.forEach((write, index) => write(layers[layers.length - 1 - index]!));
  }

  async publish(name: string, registry: { readonly host: string; auth(): RegistryAuth | null }, repository = `paddock/images/${name}`): Promise<RunnerPublication> {
    const before = this.#ended.length;
    const asked = this.publications.put(name, { repository: `${registry.host}/${repository}`, auth: registry.auth() });
    if (asked.state !== 'running') return asked;
    while (this.#ended.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
    return this.#ended.at(-1)!;
  }

  /** Forgets how publications ended, as a runner that was started anew. */
  async forget(): Promise<void> {
    await this.publications.close();
    this.reopen();
  }

  async dispose(): Promise<void> {
    await this.publications?.close();
    await this.#sources?.stop();
    await this.bed.dispose();
  }
}

export function shell(dir: string, script: string): void {
  execFileSync('sh', ['-ec', script], { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** One line a file: everything about it that a sandbox can see. Names in latin1. */
export function describeTree(root: string): string[] {
  const inodes = new Map<bigint, string>();
  const lines: string[] = [];
  const visit = (path: string): void => {
    const at = Buffer.from(`${root}/${path}`, 'latin1');
    const stat = lstatSync(at, { bigint: true });
    const xattrs = [...readXattrs(`${root}/${path}`)].filter(([key]) => key !== 'trusted.overlay.origin' && key !== 'trusted.overlay.impure')
      .sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, value]) => `${key}=${value.toString('hex')}`);
    const first = stat.isDirectory() ? path : inodes.get(stat.ino) ?? path;
    inodes.set(stat.ino, first);
    const facts = [path || '.', stat.mode.toString(8), `${stat.uid}:${stat.gid}`, ...xattrs];
    // Times go through a double, which holds them to less than a microsecond.
    if (!stat.isCharacterDevice()) facts.push(`@${stat.mtimeNs / 1_000_000_000n}`);
    if (first !== path) facts.push(`= ${first}`);
    if (stat.isSymbolicLink()) facts.push(`-> ${readlinkSync(at, 'latin1')}`);
    if (stat.isCharacterDevice() || stat.isBlockDevice()) facts.push(`device ${stat.rdev}`);
    if (stat.isFile()) facts.push(`${stat.size}`, stat.size > 1n << 32n ? 'huge' : createHash('sha256').update(readFileSync(at)).digest('hex').slice(0, 16));
    lines.push(facts.join(' '));
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(at, 'latin1').sort()) visit(path === '' ? name : `${path}/${name}`);
  };
  visit('');
  return lines;
}
