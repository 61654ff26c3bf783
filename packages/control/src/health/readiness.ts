import { setTimeout as sleep } from 'node:timers/promises';

/** @returns null when the part works, otherwise what is wrong in a few words */
export type Probe = () => Promise<string | null> | string | null;

/** Shorter than the second or more that load balancers give a health check. */
const PROBE_TIMEOUT_MS = 900;

export interface ReadinessReport {
  readonly ready: boolean;
  readonly parts: Readonly<Record<string, string | null>>;
}

/** Can this server do its work: each part that it cannot do without has a probe here. */
export class Readiness {
  readonly #probes = new Map<string, Probe>();
  #draining = false;

  add(part: string, probe: Probe): void {
    this.#probes.set(part, probe);
  }

  /** From here on it is never ready again: load balancers look elsewhere while the last requests end. */
  drain(): void {
    this.#draining = true;
  }

  async report(): Promise<ReadinessReport> {
    const parts = Object.fromEntries(await Promise.all([...this.#probes].map(async ([part, probe]) => [part, await ask(probe)] as const)));
    if (this.#draining) parts.server = 'shutting down';
    return { ready: Object.values(parts).every((problem) => problem === null), parts };
  }
}

async function ask(probe: Probe): Promise<string | null> {
  try {
    return await Promise.race([probe(), sleep(PROBE_TIMEOUT_MS, 'no answer in time', { ref: false })]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
