/** Reads from registries (OCI distribution, pull): mirrors first, credentials only where they belong, everything verified, what may pass tried again. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { RegistryAuth } from '@paddock/contract';
import { readBody, silenceBound } from './bodies.ts';
import { RegistryError } from './errors.ts';
import { ACCEPT, CONFIG_LIMIT, HERE, parseConfig, parseManifest, type Descriptor, type ImageDocument, type Manifest } from './manifest.ts';
import { parseReference, type Reference } from './reference.ts';
import { ATTEMPTS, FIRST_PAUSE_MS, Session, sourcesOf, type RegistrySettings, type Source } from './session.ts';
import { SILENCE_MS } from './transport.ts';

export interface RegistryOptions {
  /** Of a client for the same repository, to go on with. */
  readonly authorizations?: ReadonlyMap<string, string>;
  /** At one request; default ATTEMPTS. */
  readonly attempts?: number;
  /** Default SILENCE_MS. */
  readonly silenceMs?: number;
}

export interface ResolvedImage {
  /** `host/repository@sha256:…`. */
  readonly reference: string;
  readonly digest: string;
  readonly manifest: Manifest;
  readonly document: ImageDocument;
  readonly sizeBytes: number;
}

/** distribution-spec: registries should take and give manifests of up to 4 MiB. */
const MANIFEST_LIMIT = 4 * 1024 ** 2;

/** A list may point to a list, as multi-platform builds of multi-platform bases do. */
const MAX_LISTS = 3;

/** A download is taken up again as long as something comes in between, but a connection that breaks again and again carries no image. */
const MAX_RESUMPTIONS = 50;
/** A connection that carried this much before it broke does not count: registries and proxies may end each after some megabytes or minutes. */
const WORTHWHILE_BYTES = 4 * 1024 ** 2;
/** What has come in is worth waiting for: with the usual ones a minute, in which a registry restarts. Begun anew, everything would be fetched again. */
const MORE_ATTEMPTS = 3;

const FOUND: ReadonlySet<number> = new Set([200, 206]);

export class RegistryClient {
  readonly #reference: Reference;
  readonly #sessions: readonly Session[];
  readonly #signal: AbortSignal;
  /** Origin → value of Authorization that worked. */
  readonly #authorizations: Map<string, string>;
  readonly #attempts: number;
  readonly #silenceMs: number;

  /**
   * @param reference as users write it
   * @param auth ignored unless it is for the reference's host
   */
  constructor(reference: string, auth: RegistryAuth | null, settings: RegistrySettings, signal: AbortSignal, options: RegistryOptions = {}) {
    this.#reference = parseReference(reference);
    this.#signal = signal;
    this.#authorizations = new Map(options.authorizations);
    this.#attempts = options.attempts ?? ATTEMPTS;
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
    const { repository } = this.#reference;
    this.#sessions = sourcesOf(this.#reference, auth, settings).map((source) => new Session({ source, repository, authorizations: this.#authorizations, silenceMs: this.#silenceMs, signal }));
  }

  get authorizations(): ReadonlyMap<string, string> {
    return this.#authorizations;
  }

  /** Manifest for this machine and configuration, both verified. */
  async resolve(): Promise<ResolvedImage> {
    const { host, repository } = this.#reference;
    const { manifest, digest } = await this.#manifest();
    const name = `${host}/${repository}@${digest}`;
    const document = parseConfig(await this.#small(manifest.config), manifest, name);
    const sizeBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0);
    return { reference: name, digest, manifest, document, sizeBytes };
  }

  /** What the registry says of the reference: no more is read than the manifest. */
  async inspect(): Promise<Pick<ResolvedImage, 'reference' | 'digest' | 'sizeBytes'>> {
    const { host, repository } = this.#reference;
    const { manifest, digest } = await this.#manifest();
    return { reference: `${host}/${repository}@${digest}`, digest, sizeBytes: manifest.layers.reduce((sum, { size }) => sum + size, 0) };
  }

  /**
   * The bytes of a blob in order, taken up again where a connection broke. Whoever reads must verify the digest; of the size
   * no more comes than the descriptor says, and an end before it is an error.
   */
  async *blob({ digest, size }: Descriptor): AsyncGenerator<Buffer> {
    let at = 0;
    for (let failures = 0, resumptions = 0; ; resumptions += 1) {
      const before = at;
      const patience = at >= WORTHWHILE_BYTES ? MORE_ATTEMPTS : 0;
      const { reply, source } = await this.#get(`blobs/${digest}`, at === 0 ? {} : { range: `bytes=${at}-` }, undefined, this.#attempts + patience);
      try {
        let skip = startOf(reply, at, source.name);
        for await (const chunk of silenceBound(reply, source.name, this.#silenceMs)) {
          const part = chunk.subarray(Math.min(skip, chunk.length));
          skip -= chunk.length - part.length;
          at += part.length;
          if (at > size) throw new RegistryError('invalid', `${source.name} sends more than the ${size} bytes that the manifest says for ${digest}`);
          if (part.length > 0) yield part;
        }
        if (at === size) return;
        throw new RegistryError('unavailable', `${source.name} ended the download of ${digest} after ${at} of ${size} bytes`);
      } catch (error) {
        this.#signal.throwIfAborted();
        if (error instanceof RegistryError && error.failure !== 'unavailable') throw error;
        if (at - before >= WORTHWHILE_BYTES) {
          failures = resumptions = 0;
          continue;
        }
        failures = at > before ? 1 : failures + 1;
        if (failures >= this.#attempts || resumptions >= MAX_RESUMPTIONS) {
          throw error instanceof RegistryError ? error : new RegistryError('unavailable', `${source.name} broke off the download of ${digest} after ${at} of ${size} bytes`, error);
        }
        await this.#sessions[0]!.pause(FIRST_PAUSE_MS * 2 ** (failures - 1));
      } finally {
        if (!reply.complete || at !== size) reply.destroy();
      }
    }
  }

  /**
   * Whether the blob would be sent to this client, asked once by its first byte: storage behind a redirect may answer nothing
   * but a GET. An answer that does not tell the blob's size counts for nothing, as a page for people would be one.
   */
  async offers({ digest, size }: Descriptor): Promise<boolean> {
    try {
      const { reply } = await this.#get(`blobs/${digest}`, { range: 'bytes=0-0' }, undefined, 1);
      const said = reply.statusCode === 206 ? /^bytes 0-0\/(\d{1,15})$/.exec(reply.headers['content-range'] ?? '')?.[1] : reply.headers['content-length'];
      if (reply.statusCode === 206 && reply.headers['content-length'] === '1') reply.resume();
      else reply.destroy();
      return said !== undefined && Number(said) === size;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      return false;
    }
  }

  async #manifest(): Promise<{ manifest: Manifest; digest: string }> {
    const { host, repository } = this.#reference;
    let { version } = this.#reference;
    let expected: Descriptor | null = null;
    for (let lists = 0; lists <= MAX_LISTS; lists += 1) {
      const who = `${host}/${repository}${version.startsWith('sha256:') ? '@' : ':'}${version}`;
      const { reply } = await this.#get(`manifests/${version}`, { accept: ACCEPT }, who);
      const type = reply.headers['content-type'] ?? '';
      const body = await readBody(reply, MANIFEST_LIMIT, host, this.#signal, this.#silenceMs);
      const digest = digestOf(body);
      if (version.startsWith('sha256:') && digest !== version) throw new RegistryError('invalid', `${host} answered with another manifest than ${version}: its digest is ${digest}`);
      if (expected !== null && expected.size !== body.length) throw new RegistryError('invalid', `${host} answered with a manifest of ${body.length} bytes where ${expected.size} were announced`);
      const parsed = parseManifest(body, type, who, HERE);
      if ('layers' in parsed) return { manifest: parsed, digest };
      expected = parsed;
      version = parsed.digest;
    }
    throw new RegistryError('invalid', `${host}/${repository} is a list of lists of lists of manifests`);
  }

  async #small(descriptor: Descriptor): Promise<Buffer> {
    const chunks: Buffer[] = [];
    if (descriptor.size > CONFIG_LIMIT) throw new RegistryError('invalid', `The configuration has ${descriptor.size} bytes`);
    for await (const chunk of this.blob(descriptor)) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (digestOf(body) !== descriptor.digest) throw new RegistryError('invalid', `${this.#reference.host} answered with another configuration than ${descriptor.digest}`);
    return body;
  }

  /** A reply with 200 or 206 from the first source that has it. */
  async #get(path: string, headers: Readonly<Record<string, string>>, what = path, attempts = this.#attempts): Promise<{ reply: IncomingMessage; source: Source }> {
    let failure: unknown;
    for (const [index, session] of this.#sessions.entries()) {
      try {
        const most = index < this.#sessions.length - 1 ? 1 : attempts;
        return { reply: await session.persistently({ path, headers }, FOUND, what, most), source: session.source };
      } catch (error) {
        this.#signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  }
}

/** @returns how many bytes of the reply come before `at` */
function startOf(reply: IncomingMessage, at: number, who: string): number {
  if (at === 0 || reply.statusCode === 200) return at;
  const start = Number(/^bytes (\d+)-/.exec(reply.headers['content-range'] ?? '')?.[1] ?? NaN);
  if (!(start <= at)) throw new RegistryError('invalid', `${who} answers with another part of a blob than was asked for`);
  return at - start;
}

function digestOf(body: Buffer): string {
  return `sha256:${createHash('sha256').update(body).digest('hex')}`;
}
