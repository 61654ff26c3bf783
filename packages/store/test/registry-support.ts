import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRegistry, DiskBlobs, RegistryCredentials, type Blobs, type Registry, type RegistryCredential, type RegistryEvent, type RegistryGrant, type RegistryOptions } from '@paddock/store';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Parsed, undefined when it is no JSON. */
  readonly json: any;
}

export interface Call {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Basic; null: none. Default: the credential of the server's own organization, which may do everything below `org-a/`. */
  readonly as?: RegistryCredential | null;
}

export interface TestRegistry {
  readonly registry: Registry;
  readonly blobs: Blobs;
  readonly directory: string;
  readonly port: number;
  readonly credentials: RegistryCredentials;
  readonly own: RegistryCredential;
  readonly events: RegistryEvent[];
  credential(repositories: string, ...actions: RegistryGrant['actions']): RegistryCredential;
  call(method: string, path: string, options?: Call): Promise<Reply>;
  /** Pushes a blob in one request. @returns its digest */
  push(repository: string, content: string | Buffer, as?: RegistryCredential): Promise<string>;
  /** Pushes config, layers and manifest. @returns digest of the manifest */
  pushImage(repository: string, tag: string, layers: readonly (string | Buffer)[], as?: RegistryCredential): Promise<string>;
  /** Ends the server as if it was killed, and starts another on the same blobs. */
  restart(): Promise<TestRegistry>;
  close(): Promise<void>;
}

export const KEY = Buffer.alloc(32, 7);
export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const INDEX = 'application/vnd.oci.image.index.v1+json';

export function sha256(content: string | Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

export function imageManifest(config: string, layers: readonly { digest: string; size: number }[], more: Record<string, unknown> = {}): Buffer {
  return Buffer.from(JSON.stringify({
    schemaVersion: 2, mediaType: MANIFEST, config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 2 },
    layers: layers.map(({ digest, size }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size })), ...more,
  }));
}

export async function startRegistry(options: Partial<RegistryOptions> = {}, directory = mkdtempSync(join(tmpdir(), 'paddock-registry-'))): Promise<TestRegistry> {
  const blobs = options.blobs ?? new DiskBlobs(directory);
  const credentials = options.credentials ?? new RegistryCredentials(KEY);
  const events: RegistryEvent[] = [];
  const registry = createRegistry({
    blobs, credentials, originOf: (req) => `http://${req.headers.host ?? 'localhost'}`, report: (event) => void events.push(event), ...options,
  });
  const server: Server = createServer((req, res) => registry.handle(req, res));
  server.on('checkContinue', (req, res) => registry.handle(req, res, true));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const own = credentials.issue('org-a', [{ repositories: 'org-a/', actions: ['pull', 'push', 'delete', 'catalog'] }], 3_600_000);
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await registry.stop();
    if (blobs instanceof DiskBlobs) blobs.close();
  };

  const test: TestRegistry = {
    registry, blobs, directory, port, credentials, own, events,
    credential: (repositories, ...actions) => credentials.issue('test', [{ repositories, actions }], 3_600_000),
    call: (method, path, { headers = {}, body, as = own } = {}) => send(port, method, path, {
      ...(as === null ? {} : { authorization: basic(as) }), ...(body === undefined || headers['transfer-encoding'] ? {} : { 'content-length': String(Buffer.byteLength(body)) }), ...headers,
    }, body),
    async push(repository, content, as = own) {
      const digest = sha256(content);
      const reply = await test.call('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: content, as });
      if (reply.status !== 201) throw new Error(`${reply.status} ${reply.body.toString()}`);
      return digest;
    },
    async pushImage(repository, tag, layers, as = own) {
      const config = await test.push(repository, '{}', as);
      const pushed = [];
      for (const layer of layers) pushed.push({ digest: await test.push(repository, layer, as), size: Buffer.byteLength(layer) });
      const reply = await test.call('PUT', `/v2/${repository}/manifests/${tag}`, { body: imageManifest(config, pushed), headers: { 'content-type': MANIFEST }, as });
      if (reply.status !== 201) throw new Error(`${reply.status} ${reply.body.toString()}`);
      return String(reply.headers['docker-content-digest']);
    },
    async restart() {
      await stop();
      return startRegistry({ ...options, blobs: new DiskBlobs(directory) }, directory);
    },
    async close() {
      await stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return test;
}

export function basic({ username, secret }: RegistryCredential): string {
  return `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`;
}

export function random(bytes: number): Buffer {
  return randomBytes(bytes);
}

export function send(port: number, method: string, path: string, headers: Readonly<Record<string, string>>, body?: string | Buffer): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const all = Buffer.concat(chunks);
        let json: unknown;
        try { json = JSON.parse(all.toString()); } catch { json = undefined; }
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: all, json });
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}
