import type { VolumeState } from '@paddock/contract';

/**
 * The life of a volume.
 *
 * ```
 * create ▶ creating ─created▶ ready ──delete──▶ pending_delete ─unused▶ deleting ─removed▶ deleted
 *              └──failed──▶ error ◀─lost─┘ ─delete▶
 * ```
 *
 * wire: `pending_create` comes before `creating`; here a volume is made while the request waits, so no row ever is in it.
 * `pending_delete` lasts until no sandbox has the volume any more: those that are being deleted may still write to it.
 */
export type Trigger = 'created' | 'failed' | 'lost' | 'delete' | 'unused' | 'removed';

export const MOVES: Readonly<Record<Trigger, { readonly from: readonly VolumeState[]; readonly to: VolumeState }>> = {
  created: { from: ['pending_create', 'creating'], to: 'ready' },
  failed: { from: ['pending_create', 'creating'], to: 'error' },
  /** Its runner has no data of it. */
  lost: { from: ['ready'], to: 'error' },
  delete: { from: ['ready', 'error'], to: 'pending_delete' },
  unused: { from: ['pending_delete'], to: 'deleting' },
  removed: { from: ['deleting'], to: 'deleted' },
};

export function canMove(trigger: Trigger, state: VolumeState): boolean {
  return MOVES[trigger].from.includes(state);
}

/** Rows whose work is not done. */
export const PENDING_STATES: readonly VolumeState[] = ['pending_create', 'creating', 'pending_delete', 'deleting'];

/** wire: these count against the organization's quota. */
export const COUNTED_STATES: readonly VolumeState[] = ['pending_create', 'creating', 'ready', 'pending_delete', 'deleting'];

/** wire: the name as it is shown once the data is gone. */
export function deletedName(name: string): string {
  return `${name}-deleted`;
}
