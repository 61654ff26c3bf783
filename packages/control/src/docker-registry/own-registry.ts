import { createHmac } from 'node:crypto';
import { ownAddress, type PaddockConfig, type RegistryAuth, type RegistryPushAccess } from '@paddock/contract';
import { createRegistry, isRepository, isTag, parseDigest, RegistryCredentials, RegistryError, type Registry, type RegistryAction, type RegistryEvent, type RegistryGrant } from '@paddock/store';
import type { Logger } from 'pino';
import type { UserPrincipal } from '../auth/index.ts';
import { DatabaseUnavailable, LockTimeout, type Database } from '../db/index.ts';
import { ApiError, createClientOrigin, StatusError, type ClientOrigin } from '../http/index.ts';
import type { ObjectStore } from '../object-storage/index.ts';
import type { Organizations } from '../organizations/index.ts';
import type { Regions } from '../regions/index.ts';
import type { Settings } from '../settings/index.ts';

interface Parts {
  readonly config: PaddockConfig;
  readonly db: Database;
  readonly settings: Settings;
  readonly objects: ObjectStore;
  readonly organizations: Organizations;
  readonly regions: Regions;
  readonly log: Logger;
}

/** A reference that leads to this server, as the runner writes it. */
export interface PullAccess {
  readonly reference: string;
  readonly auth: RegistryAuth;
}

/** wire: what a push gets. Nothing can withdraw a credential before. */
const LIFETIME_MS = 3_600_000;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/**
 * The registry of this server, at `/v2/` of the API's port. An organization's repositories lie below its id, which is what
 * the protocol calls its project.
 */
export class OwnRegistry {
  readonly #parts: Parts;
  readonly #address: string;
  readonly #known: ReadonlySet<string>;
  #keys: Promise<{ readonly credentials: RegistryCredentials; readonly id: string }> | null = null;
  #registry: Registry | null = null;

  constructor(parts: Parts) {
    const { port, publicUrl } = parts.config;
    this.#parts = parts;
    this.#address = ownAddress(parts.config);
    this.#known = new Set([this.#address, new URL(publicUrl).host, ...LOOPBACK.map((name) => `${name}:${port}`)]);
  }

  /** Made once the schema is there. */
  async open(): Promise<Registry> {
    const { config, db, objects, log } = this.#parts;
    const { credentials } = await this.#secrets();
    const originOf = createClientOrigin(config);
    this.#registry ??= createRegistry({
      blobs: objects.blobs(), root: 'registry/', credentials,
      originOf: (req) => originOf(req).origin,
      exclusive: async (name, work) => db.withLock(name, work).catch((error: unknown) => {
        if (error instanceof DatabaseUnavailable || error instanceof LockTimeout) throw new RegistryError('UNAVAILABLE');
        throw error;
      }),
      report: (event) => report(log, event),
    });
    return this.#registry;
  }

  /** Throws ApiError REGION_NOT_FOUND and StatusError(403) for a suspended organization. */
  async pushAccess(principal: UserPrincipal, client: ClientOrigin, regionId: string | undefined): Promise<RegistryPushAccess> {
    const { organizations, regions } = this.#parts;
    const { organizationId } = principal;
    if (regionId !== undefined && !(await regions.resolve(organizationId, regionId))) throw new ApiError('REGION_NOT_FOUND');
    const suspension = (await organizations.rules(organizationId))?.suspension;
    if (suspension) throw new StatusError(403, suspension);
    const { credentials, id } = await this.#secrets();
    const actions: RegistryAction[] = ['pull', 'push', 'catalog', ...(principal.permissions.has('delete:snapshots') ? ['delete' as const] : [])];
    const { username, secret, expiresAt } = credentials.issue(organizationId, [{ repositories: `${organizationId}/`, actions }], LIFETIME_MS);
    return { username, secret, registryUrl: referenceHost(client), registryId: id, project: organizationId, expiresAt: expiresAt.toISOString() };
  }

  /**
   * How the runner pulls what an organization calls `reference`, when it lies in this registry: under its public name, under
   * loopback names, and under whatever name the client found this server, for there the organization's id says so.
   * Throws StatusError(400) for a repository of another organization. @returns null: it lies elsewhere
   */
  async pullAccess(organizationId: string, reference: string): Promise<PullAccess | null> {
    const repository = this.#repositoryOf(organizationId, reference);
    if (repository === null) return null;
    const { name, rest } = repository;
    if (!name.startsWith(`${organizationId}/`)) throw new StatusError(400, `Image ${reference} not found: images of this server's registry lie below ${organizationId}/`);
    return { reference: `${this.#address}/${name}${rest}`, auth: await this.accessFor(organizationId, name, ['pull']) };
  }

  /** At which the runner reaches it, as in references. */
  get address(): string {
    return this.#address;
  }

  /** For our own parts. @param repositories a repository, or with a slash at the end all below */
  accessFor(subject: string, repositories: string, actions: readonly RegistryAction[]): Promise<RegistryAuth> {
    return this.accessTo(subject, [{ repositories, actions }]);
  }

  async accessTo(subject: string, grants: readonly RegistryGrant[], lifetimeMs = LIFETIME_MS): Promise<RegistryAuth> {
    const { credentials } = await this.#secrets();
    const { username, secret } = credentials.issue(subject, grants, lifetimeMs);
    return { host: this.#address, username, password: secret };
  }

  /** Drops an image of the organization from the registry when nothing else in it has another tag. What lies elsewhere is left alone. */
  async remove(organizationId: string, reference: string): Promise<void> {
    const repository = this.#repositoryOf(organizationId, reference);
    if (!repository?.name.startsWith(`${organizationId}/`)) return;
    const { name, rest } = repository;
    const target = rest.includes('@') ? rest.slice(rest.indexOf('@') + 1) : rest.slice(1);
    if (parseDigest(target) || isTag(target)) await (await this.open()).remove(name, target);
  }

  #repositoryOf(organizationId: string, reference: string): { readonly name: string; readonly rest: string } | null {
    const slash = reference.indexOf('/');
    const host = reference.slice(0, slash).toLowerCase();
    // The tag is what follows the last colon of the last part; a digest follows an @.
    const [, name = '', rest = ''] = /^([^@]*?)((?::[^:/@]+)?(?:@.+)?)$/.exec(reference.slice(slash + 1)) ?? [];
    const ours = this.#known.has(host) || (/[.:]/.test(host) && name.startsWith(`${organizationId}/`));
    return slash > 0 && ours && isRepository(name) ? { name, rest } : null;
  }

  #secrets(): Promise<{ readonly credentials: RegistryCredentials; readonly id: string }> {
    this.#keys ??= this.#parts.settings.secret('registry').then((key) => ({
      credentials: new RegistryCredentials(key), id: uuidOf(createHmac('sha256', key).update('registry id').digest()),
    })).catch((error: unknown) => {
      this.#keys = null;
      throw error;
    });
    return this.#keys;
  }
}

/** Without a dot or a port Docker takes the first part of a reference for a user of Docker Hub. */
function referenceHost({ host, origin }: ClientOrigin): string {
  return /[.:]/.test(host) || host === 'localhost' ? host : `${host}:${origin.startsWith('https:') ? 443 : 80}`;
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function report(log: Logger, event: RegistryEvent): void {
  if (event.type === 'collect-failed') return log.error({ err: event.error }, 'registry: collecting failed');
  if (event.type === 'collected') return log[event.links + event.contents + event.uploads > 0 ? 'info' : 'debug'](event, 'registry: collected');
  const { error, type, ...facts } = event;
  if (error !== undefined) log.error({ ...facts, err: error }, 'registry: unexpected error');
  else log[event.status >= 500 ? 'warn' : event.method === 'GET' || event.method === 'HEAD' ? 'debug' : 'info'](facts, 'registry request');
}
