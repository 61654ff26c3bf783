import { Agent } from 'node:http';
import { toolboxSocket, type Layout, type SandboxState } from '@paddock/contract';
import type { GatewayBackend } from './types.ts';

/** Idle connections kept a sandbox. An agent works with a handful of parallel calls; each idle one costs a descriptor on both sides. */
const IDLE_PER_SANDBOX = 8;
/**
 * Requests and tunnels open at once for one sandbox. Far above any honest use, and low enough that visitors of one public
 * preview cannot take all descriptors of the process (usually 20 of these).
 */
const OPEN_PER_SANDBOX = 2048;
/** Wire: activity of an open connection is renewed about every 45–50 s. The shortest auto-stop is a minute, so this must stay below it. */
const RENEW_MS = 45_000;
/** Requests within a second tell the backend nothing new: auto-stop counts minutes. */
const TOUCH_MS = 1000;
/** A sandbox not used for this long gives its pool back. */
const FORGET_MS = 300_000;
/** Same as the server's side: fewer stops for backpressure per transferred byte. */
export const SOCKET_BUFFER_BYTES = 256 * 1024;

/** States in which a toolbox may be running. In all but `started` it may also not, which the dial then finds out. */
const REACHABLE: ReadonlySet<SandboxState> = new Set(['started', 'resizing', 'snapshotting', 'forking']);

export function mayRun(state: SandboxState): boolean {
  return REACHABLE.has(state);
}

/** Connections of one sandbox. */
export interface SandboxLink {
  readonly sandboxId: string;
  readonly socketPath: string;
  readonly agent: Agent;
  open: number;
  /** Those of `open` that count as use. */
  active: number;
  touchedMs: number;
  usedMs: number;
}

type PoolBackend = Pick<GatewayBackend, 'sandbox' | 'touch' | 'onSandboxChanged'>;

/** Keep-alive connections to toolboxes, and the activity clock of what is open. Owns its agents and its timer. */
export class LinkPool {
  readonly #links = new Map<string, SandboxLink>();
  readonly #layout: Layout;
  readonly #backend: PoolBackend;
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;

  constructor(layout: Layout, backend: PoolBackend) {
    this.#layout = layout;
    this.#backend = backend;
    this.#timer = setInterval(() => this.#sweep(Date.now()), RENEW_MS);
    this.#timer.unref();
    this.#unsubscribe = backend.onSandboxChanged((id) => void this.#changed(id));
  }

  /** @returns null when the sandbox has too many requests open */
  acquire(sandboxId: string, countsAsUse: boolean): SandboxLink | null {
    const link = this.#links.get(sandboxId) ?? this.#create(sandboxId);
    if (link.open >= OPEN_PER_SANDBOX) return null;
    link.open += 1;
    link.usedMs = Date.now();
    if (countsAsUse) {
      link.active += 1;
      this.#touch(link, link.usedMs);
    }
    return link;
  }

  release(link: SandboxLink, countsAsUse: boolean): void {
    link.open -= 1;
    link.usedMs = Date.now();
    if (countsAsUse) {
      link.active -= 1;
      this.#touch(link, link.usedMs);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unsubscribe();
    for (const link of this.#links.values()) link.agent.destroy();
    this.#links.clear();
  }

  #create(sandboxId: string): SandboxLink {
    const agent = new Agent({ keepAlive: true, maxFreeSockets: IDLE_PER_SANDBOX, scheduling: 'lifo', highWaterMark: SOCKET_BUFFER_BYTES } as ConstructorParameters<typeof Agent>[0]);
    const link: SandboxLink = { sandboxId, socketPath: toolboxSocket(this.#layout, sandboxId), agent, open: 0, active: 0, touchedMs: 0, usedMs: 0 };
    this.#links.set(sandboxId, link);
    return link;
  }

  #touch(link: SandboxLink, nowMs: number): void {
    if (nowMs - link.touchedMs < TOUCH_MS) return;
    link.touchedMs = nowMs;
    this.#backend.touch(link.sandboxId);
  }

  #sweep(nowMs: number): void {
    for (const link of this.#links.values()) {
      if (link.active > 0) this.#touch(link, nowMs);
      else if (link.open === 0 && nowMs - link.usedMs > FORGET_MS) this.#forget(link);
    }
  }

  async #changed(sandboxId: string): Promise<void> {
    const link = this.#links.get(sandboxId);
    if (link === undefined) return;
    const sandbox = await Promise.resolve(this.#backend.sandbox(sandboxId)).catch(() => undefined);
    // Unknown for the moment (database away) is no reason to close anything.
    if (sandbox === undefined || (sandbox !== null && mayRun(sandbox.state))) return;
    for (const sockets of Object.values(link.agent.freeSockets)) for (const socket of [...(sockets ?? [])]) socket.destroy();
    if (link.open === 0) this.#forget(link);
  }

  #forget(link: SandboxLink): void {
    link.agent.destroy();
    if (this.#links.get(link.sandboxId) === link) this.#links.delete(link.sandboxId);
  }
}
