import type { SnapshotState } from '@paddock/contract';
import type { Image } from '../images/index.ts';

/**
 * The life of a snapshot as data. What it is made of decides how its image's states read.
 *
 * ```
 *  image:   pending ─inspected▶ pulling ─▶ active | error
 *  build:   building ─▶ active | build_failed
 *  sandbox: snapshotting ─▶ active | error
 *  active ─deactivate▶ inactive ─activate▶ pending
 *  every state ─remove▶ removing ▶ (no row)
 * ```
 */
export type SnapshotTrigger = 'assigned' | 'fail' | 'retry' | 'deactivate' | 'activate' | 'remove';

export const SNAPSHOT_MOVES: Readonly<Record<SnapshotTrigger, { readonly from: readonly SnapshotState[]; readonly to: SnapshotState | 'of image' }>> = {
  /** It is known which image it stands for; that image's state is the snapshot's. */
  assigned: { from: ['pending'], to: 'of image' },
  fail: { from: ['pending'], to: 'error' },
  retry: { from: ['pending'], to: 'pending' },
  deactivate: { from: ['active'], to: 'inactive' },
  activate: { from: ['inactive'], to: 'pending' },
  remove: { from: ['building', 'pending', 'pulling', 'snapshotting', 'active', 'inactive', 'error', 'build_failed'], to: 'removing' },
};

/** Snapshots in these states have the state of their image. */
export const FOLLOWING: readonly SnapshotState[] = ['pending', 'building', 'pulling', 'snapshotting', 'active', 'error', 'build_failed'];

type Kind = Image['source']['kind'];
const UNDER_WAY: Readonly<Record<Kind, SnapshotState>> = { recipe: 'pulling', registry: 'pulling', build: 'building', sandbox: 'snapshotting' };

/** What is published is pulled, whatever it was made of. @param before an active snapshot stays so while the runner makes a lost image again: its sandboxes wait for it */
export function stateOfImage({ state, source, published }: Pick<Image, 'state' | 'source'> & Partial<Pick<Image, 'published'>>, before: SnapshotState): SnapshotState {
  if (state === 'ready') return 'active';
  if (state === 'failed') return source.kind === 'build' ? 'build_failed' : 'error';
  return before === 'active' ? 'active' : published ? 'pulling' : UNDER_WAY[source.kind];
}

/** wire: what counts against an organization's quota. */
export const COUNTED: readonly SnapshotState[] = ['building', 'pending', 'pulling', 'snapshotting', 'active', 'removing'];
