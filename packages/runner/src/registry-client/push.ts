/** Writes to registries (OCI distribution, push): blobs in pieces whose digest is known at their end, what may pass tried again, then the manifest. */
import type { IncomingMessage } from 'node:http';
import type { RegistryAuth } from '@paddock/contract';
import { RegistryError } from './errors.ts';
import type { Descriptor } from './manifest.ts';
import { parseReference } from './reference.ts';
import { ATTEMPTS, FIRST_PAUSE_MS, Session, sourcesOf, type RegistrySettings } from './session.ts';

export interface PushOptions {
  /** Repository of the same registry whose blobs may be taken over. */
  readonly from?: string | undefined;
  /** At one request; default ATTEMPTS. */
  readonly attempts?: number;
  readonly silenceMs?: number;
}

const OK: ReadonlySet<number> = new Set([200]);
const FOUND_OR_NOT: ReadonlySet<number> = new Set([200, 404]);
const CREATED: ReadonlySet<number> = new Set([201]);
const CREATED_OR_BEGUN: ReadonlySet<number> = new Set([201, 202]);
const BEGUN: ReadonlySet<number> = new Set([202]);

/** One repository of a registry. Mirrors only have what the registry itself has, so they are never written to. */
export class RegistryPusher {
  readonly #session: Session;
  readonly #options: PushOptions;
  readonly #attempts: number;
  readonly #signal: AbortSignal;

  /**
   * @param repository `host/repository`
   * @param auth ignored unless it is for that host
   */
  constructor(repository: string, auth: RegistryAuth | null, settings: RegistrySettings, signal: AbortSignal, options: PushOptions = {}) {
    const reference = parseReference(repository);
    const { from, silenceMs } = options;
    this.#session = new Session({
      source: sourcesOf(reference, auth, settings).at(-1)!, repository: reference.repository, wanted: { actions: 'pull,push', from }, authorizations: new Map(),
      ...(silenceMs === undefined ? {} : { silenceMs }), signal,
    });
    this.#options = options;
    this.#attempts = options.attempts ?? ATTEMPTS;
    this.#signal = signal;
  }

  async has({ digest, size }: Descriptor): Promise<boolean> {
    const reply = await this.#ask({ method: 'HEAD', path: `blobs/${digest}` }, FOUND_OR_NOT, `blobs/${digest}`);
    return reply.statusCode === 200 && Number(reply.headers['content-length'] ?? size) === size;
  }

  /** Takes a blob over from the repository that the options name. @returns false: it has to be sent */
  async mount({ digest }: Descriptor): Promise<boolean> {
    const { from } = this.#options;
    if (from === undefined) return false;
    try {
      // Where it cannot be done an upload is begun, which the registry forgets after a while.
      const reply = await this.#ask({ method: 'POST', path: `blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}` }, CREATED_OR_BEGUN, `blobs/${digest}`);
      return reply.statusCode === 201;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof RegistryError && error.failure !== 'unavailable') return false;
      throw error;
    }
  }

  async upload(): Promise<BlobUpload> {
    const reply = await this.#ask({ method: 'POST', path: 'blobs/uploads/' }, BEGUN, 'an upload');
    return new BlobUpload(this.#session, locationOf(reply, this.#session), this.#attempts);
  }

  /** A blob that is in memory. */
  async put(content: Buffer, descriptor: Descriptor): Promise<void> {
    if (!(await this.has(descriptor))) await (await this.upload()).finish(descriptor.digest, content);
  }

  async putManifest(content: Buffer, { digest, mediaType }: Descriptor): Promise<void> {
    await this.#ask({ method: 'PUT', path: `manifests/${digest}`, headers: { 'content-type': mediaType }, body: content }, CREATED, `manifests/${digest}`);
  }

  async #ask(asked: Parameters<Session['persistently']>[0], statuses: ReadonlySet<number>, what: string): Promise<IncomingMessage> {
    return drained(await this.#session.persistently(asked, statuses, what, this.#attempts));
  }
}

/** A blob on its way. What the registry has of it is asked for when an answer is missing. */
export class BlobUpload {
  readonly #session: Session;
  readonly #attempts: number;
  #location: URL;
  #at = 0;

  constructor(session: Session, location: URL, attempts: number) {
    this.#session = session;
    this.#location = location;
    this.#attempts = attempts;
  }

  async append(piece: Buffer): Promise<void> {
    const end = this.#at + piece.length;
    for (let attempt = 1; this.#at < end; attempt += 1) {
      const rest = piece.subarray(piece.length - (end - this.#at));
      try {
        const headers = { 'content-type': 'application/octet-stream', 'content-range': `${this.#at}-${end - 1}` };
        const reply = await this.#session.persistently({ method: 'PATCH', path: this.#location, headers, body: rest }, BEGUN, 'an upload', 1);
        this.#location = locationOf(drained(reply), this.#session);
        this.#at = end;
      } catch (error) {
        if (!mayPass(error) || attempt >= this.#attempts) throw error;
        await this.#session.pause(FIRST_PAUSE_MS * 2 ** (attempt - 1));
        await this.#lookUp(end);
      }
    }
  }

  /** @param rest the last bytes */
  async finish(digest: string, rest: Buffer): Promise<void> {
    const end = this.#at + rest.length;
    for (let attempt = 1; ; attempt += 1) {
      const url = new URL(this.#location);
      url.searchParams.set('digest', digest);
      try {
        const headers = { 'content-type': 'application/octet-stream' };
        const body = rest.subarray(rest.length - (end - this.#at));
        drained(await this.#session.persistently({ method: 'PUT', path: url, headers, body }, CREATED, 'an upload', 1));
        return;
      } catch (error) {
        if (!mayPass(error) || attempt >= this.#attempts) throw error;
        await this.#session.pause(FIRST_PAUSE_MS * 2 ** (attempt - 1));
        // It may have been the answer alone that was lost.
        const there = drained(await this.#session.persistently({ method: 'HEAD', path: `blobs/${digest}` }, FOUND_OR_NOT, `blobs/${digest}`, this.#attempts));
        if (there.statusCode === 200) return;
        await this.#lookUp(end);
      }
    }
  }

  /** How much of it has arrived. @throws RegistryError unavailable when the upload is lost: it has to begin anew */
  async #lookUp(end: number): Promise<void> {
    const reply = drained(await this.#session.persistently({ path: this.#location }, LOOKED_UP, 'an upload', this.#attempts));
    const last = Number(/^(?:bytes=)?0-(\d{1,15})$/.exec(reply.headers['range'] ?? '')?.[1] ?? NaN);
    // Of nothing a registry says `0-0`; no piece but the last is that small.
    const has = last === 0 ? 0 : last + 1;
    if (reply.statusCode === 404 || !(has >= this.#at && has <= end)) throw new RegistryError('unavailable', `${this.#session.source.name} lost an upload`);
    this.#at = has;
    if (reply.headers.location !== undefined) this.#location = locationOf(reply, this.#session);
  }
}

const LOOKED_UP: ReadonlySet<number> = new Set([...OK, 202, 204, 404]);

function mayPass(error: unknown): boolean {
  return error instanceof RegistryError && error.failure === 'unavailable';
}

function locationOf(reply: IncomingMessage, { source }: Session): URL {
  const url = URL.parse(reply.headers.location ?? '', source.origin);
  if (reply.headers.location === undefined || url === null || !/^https?:$/.test(url.protocol)) throw new RegistryError('invalid', `${source.name} begins an upload without saying where it goes on`);
  // A registry behind a proxy that opens TLS may know itself by http; where this client came from is right.
  if (url.protocol === 'http:' && source.origin === `https://${url.host}`) url.protocol = 'https:';
  return url;
}

/** Its body says nothing that is needed. */
function drained(reply: IncomingMessage): IncomingMessage {
  reply.resume();
  return reply;
}
