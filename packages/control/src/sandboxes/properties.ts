import type { SandboxState } from '@paddock/contract';
import { ApiError, StatusError } from '../http/index.ts';
import type { Database } from '../db/index.ts';
import type { RunnerClient } from '../runners/index.ts';
import { parseCidrList } from './cidr-list.ts';
import { archiveInterval } from './create-request.ts';
import { Fields } from '../http/fields.ts';
import { networkPolicyOf, type Sandbox } from './sandbox.ts';
import type { FieldPatch, SandboxStore } from './store.ts';
import { newSigningKey } from './tokens.ts';

export interface PropertiesDeps {
  readonly db: Pick<Database, 'withLock'>;
  readonly store: SandboxStore;
  readonly runner: RunnerClient;
  readonly find: (organizationId: string, idOrName: string) => Promise<Sandbox>;
  /** An interval or an end of life changed. */
  readonly clocksChanged: () => void;
}

/** The runner has the sandbox and its policy, and would go on with the old one. In other states the next start brings the new one. */
const HAS_POLICY: ReadonlySet<SandboxState> = new Set(['started', 'stopped', 'resizing', 'snapshotting', 'archiving']);

/** What can be changed of a sandbox without changing its state; works in every state. */
export class Properties {
  readonly #deps: PropertiesDeps;

  constructor(deps: PropertiesDeps) {
    this.#deps = deps;
  }

  /** wire: replaces the whole map. */
  async setLabels(organizationId: string, idOrName: string, body: unknown): Promise<Sandbox> {
    const fields = new Fields(body);
    if (!fields.present('labels')) fields.problems.push('labels must be an object');
    const labels = fields.labels('labels');
    if (fields.problems.length > 0) throw new StatusError(400, fields.problems.join(', '));
    return this.#change(organizationId, idOrName, { labels });
  }

  async setPublic(organizationId: string, idOrName: string, value: string): Promise<Sandbox> {
    if (value !== 'true' && value !== 'false') throw new StatusError(400, 'isPublic must be true or false');
    return this.#change(organizationId, idOrName, { public: value === 'true' });
  }

  setAutoStop(organizationId: string, idOrName: string, minutes: string): Promise<Sandbox> {
    return this.#change(organizationId, idOrName, { autoStopInterval: wholeMinutes('Auto-stop interval', minutes, 0) });
  }

  setAutoArchive(organizationId: string, idOrName: string, minutes: string): Promise<Sandbox> {
    return this.#change(organizationId, idOrName, { autoArchiveInterval: archiveInterval(wholeMinutes('Auto-archive interval', minutes, 0)) });
  }

  /** wire: 0 deletes on stop, any negative number never. */
  setAutoDelete(organizationId: string, idOrName: string, minutes: string): Promise<Sandbox> {
    return this.#change(organizationId, idOrName, { autoDeleteInterval: Math.max(-1, wholeMinutes('Auto-delete interval', minutes, null)) });
  }

  /** wire: lifetime from now in wall-clock minutes, whatever the state; 0 ends it. */
  setTtl(organizationId: string, idOrName: string, minutes: string): Promise<Sandbox> {
    const ttl = wholeMinutes('TTL', minutes, 0);
    return this.#change(organizationId, idOrName, { autoDestroyAt: ttl > 0 ? new Date(Date.now() + ttl * 60_000) : null });
  }

  /**
   * The rules are in force when this returns. Under the sandbox's lock: a start in between would bring the old ones back.
   * The runner goes first: a failure in between leaves the sandbox with the wanted rules and the caller with an error.
   */
  async setNetwork(organizationId: string, idOrName: string, body: unknown): Promise<Sandbox> {
    const { id } = await this.#deps.find(organizationId, idOrName);
    const { db, runner, store } = this.#deps;
    return db.withLock(`sandbox:${id}`, async () => {
      const sandbox = await store.byId(id);
      if (!sandbox || sandbox.desiredState === 'destroyed') throw new ApiError('SANDBOX_NOT_FOUND', { id: idOrName });
      const patch = parseNetwork(body, sandbox);
      if (HAS_POLICY.has(sandbox.state)) {
        const applied = await runner.patch(id, { network: networkPolicyOf({ ...sandbox, ...patch }) });
        if (!applied.ok) throw new StatusError(applied.failure.code === 'INVALID_SPEC' ? 400 : 503, `Network settings were not applied: ${applied.failure.message}`);
      }
      return found(await store.change(id, patch), idOrName);
    });
  }

  async signingKey(organizationId: string, idOrName: string): Promise<string> {
    const sandbox = await this.#deps.find(organizationId, idOrName);
    if (sandbox.signingKey) return sandbox.signingKey;
    return found(await this.#deps.store.ensureSigningKey(sandbox.id, newSigningKey()), idOrName);
  }

  /** wire: every URL signed with the old key ends. */
  async rotateSigningKey(organizationId: string, idOrName: string): Promise<string> {
    const signingKey = newSigningKey();
    await this.#change(organizationId, idOrName, { signingKey });
    return signingKey;
  }

  async #change(organizationId: string, idOrName: string, patch: FieldPatch): Promise<Sandbox> {
    const { id } = await this.#deps.find(organizationId, idOrName);
    const sandbox = found(await this.#deps.store.change(id, patch), idOrName);
    if ('autoStopInterval' in patch || 'autoArchiveInterval' in patch || 'autoDeleteInterval' in patch || 'autoDestroyAt' in patch) this.#deps.clocksChanged();
    return sandbox;
  }
}

/** wire: block-all and a list exclude each other, the later one wins; an empty text clears the list; null is refused. */
function parseNetwork(body: unknown, before: Sandbox): Pick<Sandbox, 'networkBlockAll' | 'networkAllowList'> {
  const given = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const { networkBlockAll: blockAll, networkAllowList: allow, domainAllowList: domains } = given;
  const problems: string[] = [];
  if (blockAll !== undefined && typeof blockAll !== 'boolean') problems.push('networkBlockAll must be a boolean value');
  if (allow !== undefined && typeof allow !== 'string') problems.push('networkAllowList must be a string');
  if (domains !== undefined && typeof domains !== 'string') problems.push('domainAllowList must be a string');
  const cidrs = typeof allow === 'string' ? parseCidrList(allow) : null;
  if (cidrs && 'problem' in cidrs) problems.push(cidrs.problem);
  if (problems.length > 0) throw new StatusError(400, problems.join(', '));
  if (blockAll === undefined && allow === undefined && domains === undefined) {
    throw new StatusError(400, 'At least one of networkBlockAll, networkAllowList or domainAllowList must be provided');
  }
  if (domains) throw new ApiError('NOT_IMPLEMENTED', { what: 'A domain allow list' });
  if (blockAll === true) return { networkBlockAll: true, networkAllowList: null };
  const list = cidrs && 'list' in cidrs && cidrs.list.length > 0 ? cidrs.list.join(',') : null;
  if (list) return { networkBlockAll: false, networkAllowList: list };
  if (blockAll === false || allow !== undefined) return { networkBlockAll: blockAll === undefined ? before.networkBlockAll : false, networkAllowList: null };
  return { networkBlockAll: before.networkBlockAll, networkAllowList: before.networkAllowList };
}

function wholeMinutes(what: string, text: string, min: number | null): number {
  const value = /^-?\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(value) || Math.abs(value) > 2_147_483_647) throw new StatusError(400, `${what} must be a whole number of minutes`);
  if (min !== null && value < min) throw new StatusError(400, `${what} must be non-negative`);
  return value;
}

function found<T>(value: T | null, id: string): T {
  if (value === null) throw new ApiError('SANDBOX_NOT_FOUND', { id });
  return value;
}
