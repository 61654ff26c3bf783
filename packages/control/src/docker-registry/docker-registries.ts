import { randomUUID } from 'node:crypto';
import type { CreateDockerRegistry, DockerRegistry, DockerRegistryConnection, RegistryAuth, TestDockerRegistry, UpdateDockerRegistry } from '@paddock/contract';
import type { Database } from '../db/index.ts';
import { displayTextProblem } from '../http/display-text.ts';
import { ApiError, StatusError, ValidationError } from '../http/index.ts';
import type { Settings } from '../settings/index.ts';
import { testConnection } from './connection.ts';
import { ecrRegionOf, isRoleArn, type EcrTokens } from './ecr.ts';
import { open, seal } from './passwords.ts';
import { isPlainHttp, normalizeHost, parseRegistryUrl, type RegistryUrl } from './registry-url.ts';
import { deleteRegistry, insertRegistry, lockOrganization, registriesOf, registriesOfHost, registryById, setDefaultRegistry, updateRegistry, type RegistryRow } from './store.ts';

/** wire: an organization's limit. */
const MAX_REGISTRIES = 100;
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

interface Parts {
  readonly db: Database;
  readonly settings: Settings;
  readonly ecr: EcrTokens;
}

/** The registries that organizations have told us of, with their credentials. */
export class DockerRegistries {
  readonly #parts: Parts;
  #key: Promise<Buffer> | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async create(organizationId: string, request: CreateDockerRegistry): Promise<DockerRegistry> {
    const { url, host } = checked(request);
    if (!isRoleArn(request.username) && !request.password) throw new ValidationError(['password should not be empty']);
    const id = randomUUID();
    const password = seal(await this.#secret(), id, request.password ?? '');
    const row = await this.#parts.db.tx(async (tx) => {
      await tx.run(lockOrganization(organizationId));
      return tx.one(insertRegistry({
        id, organization_id: organizationId, name: request.name, url, host, username: request.username, password, project: request.project ?? '',
      }, MAX_REGISTRIES));
    });
    if (!row) throw new StatusError(400, `An organization can have at most ${MAX_REGISTRIES} registries; delete one first`);
    return toDto(row);
  }

  async list(organizationId: string): Promise<DockerRegistry[]> {
    return (await this.#parts.db.query(registriesOf(organizationId))).map(toDto);
  }

  async get(organizationId: string, id: string): Promise<DockerRegistry> {
    return toDto(await this.#row(organizationId, id));
  }

  async update(organizationId: string, id: string, request: UpdateDockerRegistry): Promise<DockerRegistry> {
    const { url, host } = checked(request);
    const before = await this.#row(organizationId, id);
    // From a role to a user the stored password is the empty one of the role.
    if (!request.password && isRoleArn(before.username) && !isRoleArn(request.username)) throw new ValidationError(['password should not be empty']);
    // A stored password must not be sent to whatever address somebody writes over the old one.
    if (!request.password && host !== before.host && !isRoleArn(request.username)) throw new ValidationError(['password should not be empty when the URL names another host']);
    const password = request.password ? seal(await this.#secret(), before.id, request.password) : null;
    const row = await this.#parts.db.one(updateRegistry(organizationId, before.id, { name: request.name, url, host, username: request.username, password, project: request.project ?? null }));
    if (!row) throw notFound(id);
    return toDto(row);
  }

  async delete(organizationId: string, id: string): Promise<void> {
    if (!UUID.test(id) || (await this.#parts.db.run(deleteRegistry(organizationId, id))) === 0) throw notFound(id);
  }

  /** For administrators: whatever organization it belongs to. */
  async setDefault(id: string): Promise<DockerRegistry> {
    const row = UUID.test(id) ? await this.#parts.db.one(setDefaultRegistry(id)) : null;
    if (!row) throw notFound(id);
    return toDto(row);
  }

  /** Logs in with what a registry would be created with. */
  async test(organizationId: string, request: TestDockerRegistry): Promise<DockerRegistryConnection> {
    const parsed = checked({ name: 'test', ...request });
    return this.#test(parsed, async () => (isRoleArn(request.username)
      ? this.#parts.ecr.authFor({ organizationId, host: parsed.host, roleArn: request.username })
      : { host: parsed.host, username: request.username, password: request.password ?? '' }));
  }

  /** Logs in with what is stored. */
  async testStored(organizationId: string, id: string): Promise<DockerRegistryConnection> {
    const row = await this.#row(organizationId, id);
    return this.#test({ url: row.url, host: row.host }, () => this.#auth(row));
  }

  async #test(address: RegistryUrl, authOf: () => Promise<RegistryAuth>): Promise<DockerRegistryConnection> {
    try {
      return await testConnection({ ...(await authOf()), plainHttp: isPlainHttp(address) });
    } catch (error) {
      if (error instanceof StatusError) return { success: false, message: error.message };
      throw error;
    }
  }

  /**
   * What opens a registry for an organization: the default one of that host, else the newest.
   * @param host `host[:port]` as in references @returns null: none is known, pull anonymously.
   * Throws StatusError(400) with a sentence for the user when Amazon refuses the role or the stored password cannot be read.
   */
  async authFor(organizationId: string, host: string): Promise<RegistryAuth | null> {
    const [row] = await this.#parts.db.query(registriesOfHost(organizationId, normalizeHost(host)));
    return row ? this.#auth(row) : null;
  }

  /** One for each host. Those that cannot be had now are left out: a build that needs one fails with the registry's own words. */
  async authsFor(organizationId: string): Promise<RegistryAuth[]> {
    const rows = await this.#parts.db.query(registriesOf(organizationId));
    const chosen = new Map<string, RegistryRow>();
    for (const row of rows) {
      if (!chosen.get(row.host)?.is_default) chosen.set(row.host, row);
    }
    const auths = await Promise.all([...chosen.values()].map((row) => this.#auth(row).catch((error: unknown) => {
      if (error instanceof StatusError) return null;
      throw error;
    })));
    return auths.filter((auth) => auth !== null);
  }

  async #auth(row: RegistryRow): Promise<RegistryAuth> {
    if (isRoleArn(row.username)) return this.#parts.ecr.authFor({ organizationId: row.organization_id, host: row.host, roleArn: row.username });
    const password = open(await this.#secret(), row.id, row.password);
    if (password === null) throw new StatusError(400, `The stored password of registry "${row.name}" cannot be read; set it again`);
    return { host: row.host, username: row.username, password };
  }

  async #row(organizationId: string, id: string): Promise<RegistryRow> {
    const row = UUID.test(id) ? await this.#parts.db.one(registryById(organizationId, id)) : null;
    if (!row) throw notFound(id);
    return row;
  }

  #secret(): Promise<Buffer> {
    this.#key ??= this.#parts.settings.secret('docker-registry-passwords').catch((error: unknown) => {
      this.#key = null;
      throw error;
    });
    return this.#key;
  }
}

function checked({ name, url, username }: { readonly name: string; readonly url: string; readonly username: string }): RegistryUrl {
  const problems: string[] = [];
  const nameProblem = displayTextProblem(name);
  if (nameProblem) problems.push(`name ${nameProblem}`);
  const parsed = parseRegistryUrl(url);
  if (!parsed) problems.push('url must be the address of a registry, such as docker.io, ghcr.io or https://registry.example.com:5000');
  if (/[\u0000-\u001f\u007f]/.test(username)) problems.push('username must not contain control characters');
  else if (isRoleArn(username)) {
    if (parsed && ecrRegionOf(parsed.host) === null) problems.push('username may be an IAM role only for a registry of Amazon ECR (<account>.dkr.ecr.<region>.amazonaws.com)');
  } else if (username.includes(':')) problems.push('username must not contain ":"');
  if (problems.length > 0) throw new ValidationError(problems);
  return parsed!;
}

function notFound(id: string): ApiError {
  return new ApiError('DOCKER_REGISTRY_NOT_FOUND', { id });
}

function toDto(row: RegistryRow): DockerRegistry {
  return {
    id: row.id, name: row.name, url: row.url, username: row.username, project: row.project, registryType: row.registry_type,
    createdAt: row.created_at.toISOString(), updatedAt: row.updated_at.toISOString(),
  };
}
