/**
 * Where a sandbox is, as written down before each act. A new runner reads the phase and knows what to finish or undo:
 *
 *     creating ─▶ started ─▶ stopping ─▶ stopped ─▶ starting ─▶ started
 *         │          └──────────────────────▲  (its init ended)     │
 *         ▼                                                         │
 *      (nothing)  ◀── deleting ◀── any phase                        └─▶ stopped (the start failed)
 */
import type { RunnerSandboxState } from '@paddock/contract';

export const PHASES = ['creating', 'starting', 'started', 'stopping', 'stopped', 'deleting', 'broken'] as const;
export type Phase = (typeof PHASES)[number];

/**
 * What a runner that finds the phase at its own start does with it. `adopt`: keep it if its init still runs, else treat it as
 * exited. `halt`: end what runs of it and call it stopped. `erase`: leave nothing of it.
 */
export const AT_START: Readonly<Record<Phase, 'erase' | 'halt' | 'adopt' | 'keep'>> = {
  // Its disk has never been anybody's: nothing is lost.
  creating: 'erase',
  starting: 'halt',
  started: 'adopt',
  stopping: 'halt',
  stopped: 'keep',
  deleting: 'erase',
  broken: 'keep',
};

/** What the control plane is told. A start in progress is not yet `started`, a stop in progress not yet `stopped`. */
export const SHOWN_AS: Readonly<Record<Phase, RunnerSandboxState>> = {
  creating: 'stopped',
  starting: 'stopped',
  started: 'started',
  stopping: 'started',
  stopped: 'stopped',
  deleting: 'broken',
  broken: 'broken',
};
