import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Blobs } from '../blobs/blobs.ts';
import { BlobError } from '../blobs/blobs.ts';
import { Access, scopeOf } from './access.ts';
import { continueUpload, finishUpload, readBlob, startUpload, uploadStatus } from './blob-endpoint.ts';
import { Collector, PATIENCE, type Collected, type Patience } from './collector.ts';
import type { RegistryAction, RegistryCredentials } from './credentials.ts';
import { RegistryError } from './errors.ts';
import { Exchange } from './exchange.ts';
import { Keys, nameOfSegment, segment } from './keys.ts';
import { Links } from './links.ts';
import { exclusiveInProcess, type Exclusive } from './locks.ts';
import { deleteManifest, listReferrers, listRepositories, listTags, readManifest, writeManifest } from './manifest-endpoint.ts';
import { Manifests } from './manifests.ts';
import { isRepository, parseDigest, type Digest } from './names.ts';
import { blobsBelow } from './pages.ts';
import { isRegistryPath, routeOf, type Route } from './route.ts';
import { digestOrThrow, Uploads } from './uploads.ts';

export interface RegistryOptions {
  readonly blobs: Blobs;
  /** Before all its keys; ends with a slash or is empty. */
  readonly root?: string;
  readonly credentials: RegistryCredentials;
  /** Origin (`https://host:port`) under which the client of a request reaches this server: it is sent there for tokens. */
  readonly originOf: (req: IncomingMessage) => string;
  /** Needed when several processes serve one store. */
  readonly exclusive?: Exclusive;
  readonly patience?: Partial<Patience>;
  /** Told of each request when it is answered, and of each collection. */
  readonly report?: (event: RegistryEvent) => void;
}

export type RegistryEvent =
  | {
    readonly type: 'request'; readonly method: string; readonly route: string; readonly repository: string | null; readonly subject: string | null;
    readonly status: number; readonly code: string | null; readonly receivedBytes: number; readonly ms: number;
    /** What nobody foresaw. */
    readonly error?: unknown;
  }
  | { readonly type: 'collected'; readonly links: number; readonly contents: number; readonly bytes: number; readonly uploads: number; readonly ms: number }
  | { readonly type: 'collect-failed'; readonly error: unknown };

export interface Registry {
  matches(req: IncomingMessage): boolean;
  /** Answers whatever comes, and never throws. @param expectsContinue the request came as `checkContinue` */
  handle(req: IncomingMessage, res: ServerResponse, expectsContinue?: boolean): void;
  /** Removes what nothing leads to. Safe at any time, also in several processes at once. */
  collect(): Promise<Collected & { readonly uploads: number }>;
  /** Collects now and then daily, and soon after something was deleted. */
  start(): void;
  stop(): Promise<void>;
  /** Removes a tag, and its manifest when no other tag leads to it. Idempotent. @param reference tag or digest */
  remove(repository: string, reference: string): Promise<void>;
  /** Removes a repository: manifests, tags, and its hold on every blob. Whoever still pushes to it has to begin anew. Idempotent. */
  drop(repository: string): Promise<void>;
  /** Names that begin with the prefix, in order. */
  repositories(prefix: string): AsyncIterable<string>;
}

/** Deletions come in bursts: a snapshot with all its tags. */
const SOON_MS = 5_000;
const DAILY_MS = 24 * 3_600_000;
/** A collection under way gets this long when the server stops. */
const STOP_MS = 1_000;

/** An OCI distribution server (specification 1.1) over a blob store. */
export function createRegistry(options: RegistryOptions): Registry {
  const { blobs, credentials, report = () => undefined } = options;
  const keys = new Keys(options.root ?? '');
  const exclusive = options.exclusive ?? exclusiveInProcess();
  const patience = { ...PATIENCE, ...options.patience };
  const links = new Links(blobs, keys, exclusive);
  const uploads = new Uploads(blobs, keys, links);
  const manifests = new Manifests(blobs, keys, links, exclusive);
  const collector = new Collector({ blobs, keys, links, exclusive, patience });
  const access = new Access({ credentials, originOf: ({ req }) => options.originOf(req) });
  const parts = { links, uploads };

  let running: Promise<Collected & { uploads: number }> | null = null;
  let timer: NodeJS.Timeout | undefined;
  let dueMs = Infinity;
  let started = false;
  const collect = (): Promise<Collected & { uploads: number }> => {
    running ??= (async () => {
      const begun = performance.now();
      const ended = await uploads.collect(patience.uploadMs);
      const collected = { ...(await collector.collect()), uploads: ended };
      report({ type: 'collected', ...collected, ms: performance.now() - begun });
      return collected;
    })().finally(() => { running = null; });
    return running;
  };
  /** The nearest moment anybody asked for counts. */
  const collectIn = (ms: number): void => {
    if (!started || performance.now() + ms >= dueMs) return;
    dueMs = performance.now() + ms;
    clearTimeout(timer);
    timer = setTimeout(() => {
      dueMs = Infinity;
      void collect().catch((error: unknown) => report({ type: 'collect-failed', error })).then(() => collectIn(DAILY_MS));
    }, ms).unref();
  };

  /** Names that begin with a prefix, in order. */
  async function* repositories(prefix: string, after: string): AsyncGenerator<string> {
    const root = keys.repositories() + segment(prefix);
    let position = after === '' ? undefined : `${keys.repositories()}${segment(after)}/`;
    for (;;) {
      const page = await blobs.list(root, { limit: 1000, delimiter: '/', ...(position === undefined ? {} : { after: position }) });
      for (const folded of page.prefixes) yield nameOfSegment(folded.slice(keys.repositories().length, -1));
      if (page.next === null) return;
      position = page.next;
    }
  }

  async function serve(exchange: Exchange, route: Route): Promise<void> {
    const { method } = exchange;
    if (route.kind === 'token') return access.token(exchange);
    const action = actionOf(route, method);
    const repository = 'repository' in route ? route.repository : null;
    const named = repository !== null && isRepository(repository);
    const who = access.authenticate(exchange, route.kind === 'catalog' ? 'registry:catalog:*' : named && action ? scopeOf(repository, action) : null);
    exchange.access = who;
    if (!action) throw new RegistryError('UNSUPPORTED', { headers: { allow: METHODS[route.kind].join(', ') } });
    if (route.kind === 'base') return exchange.json(200, {});
    if (route.kind === 'catalog') return listRepositories(repositories, exchange);
    if (!isRepository(route.repository)) throw new RegistryError('NAME_INVALID', { detail: { name: route.repository.slice(0, 300) } });
    access.demand(exchange, who, route.repository, action);
    switch (route.kind) {
      case 'tags': return listTags(manifests, exchange, route.repository);
      case 'referrers': return listReferrers(manifests, exchange, route.repository, route.digest);
      case 'manifest':
        if (method === 'PUT') return writeManifest(manifests, exchange, route.repository, route.reference);
        if (method === 'DELETE') {
          await deleteManifest(manifests, exchange, route.repository, route.reference);
          return collectIn(SOON_MS);
        }
        return readManifest(manifests, exchange, route.repository, route.reference);
      case 'blob':
        if (method !== 'DELETE') return readBlob(parts, exchange, route.repository, digestOrThrow(route.digest));
        return deleteBlob(exchange, route.repository, route.digest);
      case 'uploads': return startUpload(parts, exchange, route.repository);
      case 'upload':
        if (method === 'PATCH') return continueUpload(parts, exchange, route.repository, route.id);
        if (method === 'PUT') return finishUpload(parts, exchange, route.repository, route.id);
        if (method === 'GET') return uploadStatus(parts, exchange, route.repository, route.id);
        await uploads.cancel(route.repository, route.id);
        return exchange.empty(204);
    }
  }

  async function deleteBlob(exchange: Exchange, repository: string, text: string): Promise<void> {
    const digest = digestOrThrow(text);
    if (!(await links.has(repository, digest))) throw new RegistryError('BLOB_UNKNOWN', { detail: { digest: digest.text } });
    await links.remove(repository, digest);
    collectIn(SOON_MS);
    exchange.empty(202);
  }

  async function answer(exchange: Exchange): Promise<void> {
    const begun = performance.now();
    let route: Route | null = null;
    let code: string | null = null;
    let unforeseen: unknown;
    try {
      route = routeOf(exchange.path);
      await serve(exchange, route);
    } catch (error) {
      const known = toKnown(error);
      if (known.code === 'UNKNOWN') unforeseen = error;
      code = known.code;
      exchange.fail(known);
    }
    exchange.end();
    report({
      type: 'request', method: exchange.method, route: route?.kind ?? 'none', repository: route && 'repository' in route ? route.repository.slice(0, 200) : null,
      subject: exchange.access?.subject ?? null, status: exchange.res.statusCode, code, receivedBytes: exchange.received, ms: performance.now() - begun,
      ...(unforeseen === undefined ? {} : { error: unforeseen }),
    });
  }

  return {
    matches: (req) => isRegistryPath(req.url ?? ''),
    handle: (req, res, expectsContinue = false) => void answer(new Exchange(req, res, expectsContinue)),
    collect,
    start() {
      started = true;
      collectIn(0);
    },
    async stop() {
      started = false;
      clearTimeout(timer);
      dueMs = Infinity;
      // What is not finished goes on at the next start.
      await Promise.race([running?.catch(() => undefined), sleep(STOP_MS, undefined, { ref: false })]);
    },
    async remove(repository, reference) {
      const digest = await manifests.find(repository, reference);
      await manifests.removeTag(repository, reference);
      if (digest && !(await manifests.isTagged(repository, digest))) await manifests.remove(repository, digest);
      collectIn(SOON_MS);
    },
    async drop(repository) {
      // Manifests first: as long as one is there its blobs are.
      for (const digest of await digestsBelow(keys.manifests(repository))) await manifests.remove(repository, digest);
      for (const digest of await digestsBelow(keys.links(repository))) await links.remove(repository, digest);
      collectIn(SOON_MS);
    },
    repositories: (prefix) => repositories(prefix, ''),
  };

  async function digestsBelow(prefix: string): Promise<Digest[]> {
    const found: Digest[] = [];
    for await (const { key } of blobsBelow(blobs, prefix)) {
      const digest = parseDigest(key.slice(prefix.length).replace('/', ':'));
      if (digest) found.push(digest);
    }
    return found;
  }
}

const METHODS: Readonly<Record<Route['kind'], readonly string[]>> = {
  base: ['GET', 'HEAD'], token: ['GET', 'POST'], catalog: ['GET'], manifest: ['GET', 'HEAD', 'PUT', 'DELETE'], blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'], upload: ['GET', 'PATCH', 'PUT', 'DELETE'], tags: ['GET'], referrers: ['GET'],
};

/** @returns what the client must be allowed to, null: the route has no such method */
function actionOf(route: Route, method: string): RegistryAction | null {
  if (!METHODS[route.kind].includes(method)) return null;
  if (route.kind === 'upload' || route.kind === 'uploads' || method === 'PUT') return 'push';
  if (route.kind === 'catalog') return 'catalog';
  return method === 'DELETE' ? 'delete' : 'pull';
}

function toKnown(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  if (error instanceof BlobError && error.code === 'STORE_FULL') return new RegistryError('STORE_FULL');
  // A part or a content that was removed while it was read: another request was faster.
  if (error instanceof BlobError && error.code === 'NO_SUCH_BLOB') return new RegistryError('BLOB_UPLOAD_UNKNOWN');
  if (error instanceof BlobError && error.code === 'STORE_FAILED') return new RegistryError('UNAVAILABLE', { message: 'The object store of this registry does not answer; try again' });
  return new RegistryError('UNKNOWN');
}
