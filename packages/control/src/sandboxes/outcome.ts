import type { RunnerFailure } from '../runners/client.ts';
import type { Trigger } from './states.ts';
import type { MovePatch } from './store.ts';

/**
 * What a step of the reconciler came to. `again`: nobody knows. `wait`: somebody else will wake us. `busy`: as `wait`, and it goes on, so that
 * no time limit counts.
 */
export type Outcome = { readonly trigger: Trigger; readonly patch: MovePatch } | 'again' | 'wait' | 'busy';

/** Failures that time may cure. */
const TRANSIENT: ReadonlySet<RunnerFailure['code']> = new Set(['UNAVAILABLE', 'TIMEOUT', 'IMAGE_NOT_READY']);

export function isTransient({ code }: RunnerFailure): boolean {
  return TRANSIENT.has(code);
}
