import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Layout } from '@paddock/contract';
import { identify, isAlive, type ProcessIdentity } from '../host/process-identity.ts';

export type PartName = 'postgres' | 'control' | 'runner';

/** `starting`: the API does not answer yet. `preparing`: it does, the default image is being made. */
export type Phase = 'starting' | 'preparing' | 'ready' | 'failed' | 'stopping';

/** What a running instance says of itself to other programs on the machine; holds no secret. */
export interface InstanceState {
  readonly supervisor: ProcessIdentity;
  readonly parts: Partial<Record<PartName, ProcessIdentity>>;
  readonly phase: Phase;
  /** 0..1 and a sentence while preparing, the reason when failed. */
  readonly progress?: { readonly fraction: number; readonly text: string };
  readonly port: number;
  readonly publicUrl: string;
  readonly dataDir: string;
}

export const stateFile = (layout: Pick<Layout, 'runDir'>): string => join(layout.runDir, 'instance.json');

export function readState(layout: Pick<Layout, 'runDir'>): InstanceState | null {
  try {
    return JSON.parse(readFileSync(stateFile(layout), 'utf8')) as InstanceState;
  } catch {
    return null; // no instance ran since the machine started
  }
}

/** @returns null when no supervisor runs, whatever a killed one left in its file */
export function runningInstance(layout: Pick<Layout, 'runDir'>): InstanceState | null {
  const state = readState(layout);
  return state !== null && isAlive(state.supervisor) ? state : null;
}

/** Keeps the file true; replaced as a whole, so a reader never sees half of it. */
export class StateFile {
  readonly #path: string;
  #state: InstanceState;

  constructor(layout: Layout, rest: Pick<InstanceState, 'port' | 'publicUrl'>) {
    this.#path = stateFile(layout);
    this.#state = { supervisor: identify(process.pid) ?? { pid: process.pid, startTime: '' }, parts: {}, phase: 'starting', dataDir: layout.dataDir, ...rest };
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
    this.#write();
  }

  get phase(): Phase {
    return this.#state.phase;
  }

  part(name: PartName, pid: number | null): void {
    const parts = { ...this.#state.parts };
    const identity = pid === null ? null : identify(pid);
    if (identity) parts[name] = identity;
    else delete parts[name];
    this.#update({ parts });
  }

  enter(phase: Phase, progress?: { fraction: number; text: string }): void {
    this.#update({ phase, progress });
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }

  #update(change: Partial<InstanceState>): void {
    this.#state = { ...this.#state, ...change };
    this.#write();
  }

  #write(): void {
    const temporary = `${this.#path}.new`;
    writeFileSync(temporary, `${JSON.stringify(this.#state)}\n`, { mode: 0o644 });
    renameSync(temporary, this.#path);
  }
}
