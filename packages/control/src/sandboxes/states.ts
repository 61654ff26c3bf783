import { DESIRED_STATES, SANDBOX_STATES, type DesiredState, type SandboxState } from '@paddock/contract';

/**
 * The life of a sandbox as data.
 *
 * ```
 *            ┌──────── fail, timeout ───────▶ error ──recover──▶ starting
 *  create ▶ creating ─created▶ started ─stop▶ stopping ─stopped▶ stopped ─start▶ starting ─started▶ started
 *                                 └───────────── exited ───────────▶┘
 *  every state ─destroy▶ destroying ─destroyed▶ destroyed
 *
 *  started, stopped ─resize▶ resizing, ─snapshot▶ snapshotting, ─settle▶ as before
 *  stopped ─archive▶ archiving ─archived▶ archived ─restore▶ restoring ─restored▶ starting
 *                       └─archiveFailed▶ stopped, ─start▶ starting
 *
 *  from a Dockerfile: pending_build ─building▶ building_snapshot ─imageReady▶ creating; ─buildFailed▶ build_failed
 *  image not on the runner: creating ─pulling▶ pulling_snapshot ─imageReady▶ creating
 * ```
 *
 * A move is decided by whoever has the trigger (a request, the reconciler, a clock, the runner's report) and written by the
 * store only if the row still is in a state the move starts from. A state whose work is not done yet is *pending*; the
 * reconciler looks at nothing but the row to know what to do next, so it can be killed anywhere.
 */
export type Trigger =
  | 'building' | 'pulling' | 'imageReady' | 'buildFailed' | 'created' | 'start' | 'started' | 'stop' | 'stopped' | 'exited' | 'recover' | 'fail' | 'timeout' | 'lost' | 'claim' | 'claimUnready'
  | 'resize' | 'snapshot' | 'settle' | 'archive' | 'archived' | 'archiveFailed' | 'restore' | 'restored' | 'recoverStopped' | 'recoverArchived'
  | 'destroy' | 'destroyed';

export interface Move {
  readonly from: readonly SandboxState[];
  /** `desired`: the state of that name. */
  readonly to: SandboxState | 'desired';
  /** Desired state after the move; `keep` leaves it. */
  readonly desired: DesiredState | 'keep';
}

/** State of a row when it is inserted. wire: clients read build logs only if the reply to their create says `pending_build`. */
export const INITIAL = { state: 'creating', desiredState: 'started' } as const;
export const INITIAL_BUILD = { state: 'pending_build', desiredState: 'started' } as const;

const DESTROYABLE = SANDBOX_STATES.filter((state) => state !== 'destroyed' && state !== 'destroying');

export const MOVES: Readonly<Record<Trigger, Move>> = {
  building: { from: ['pending_build'], to: 'building_snapshot', desired: 'keep' },
  /** The runner has no such image (any more). */
  pulling: { from: ['creating'], to: 'pulling_snapshot', desired: 'keep' },
  imageReady: { from: ['pending_build', 'building_snapshot', 'pulling_snapshot'], to: 'creating', desired: 'keep' },
  buildFailed: { from: ['pending_build', 'building_snapshot'], to: 'build_failed', desired: 'keep' },
  created: { from: ['creating'], to: 'started', desired: 'keep' },
  /** wire: starting one that is being archived gives the archive up. */
  start: { from: ['stopped', 'archiving'], to: 'starting', desired: 'started' },
  started: { from: ['starting'], to: 'started', desired: 'keep' },
  stop: { from: ['started'], to: 'stopping', desired: 'stopped' },
  stopped: { from: ['stopping'], to: 'stopped', desired: 'keep' },
  /** wire: a sandbox whose main process ended by itself becomes stopped/stopped and is not restarted. */
  exited: { from: ['started'], to: 'stopped', desired: 'stopped' },
  recover: { from: ['error'], to: 'starting', desired: 'started' },
  recoverStopped: { from: ['error'], to: 'stopping', desired: 'stopped' },
  /** Its disk is in the object store, and stays there until the next start. */
  recoverArchived: { from: ['error'], to: 'archived', desired: 'archived' },
  resize: { from: ['started', 'stopped'], to: 'resizing', desired: 'keep' },
  snapshot: { from: ['started', 'stopped'], to: 'snapshotting', desired: 'keep' },
  /** Whatever came of it, the sandbox is what it was before. */
  settle: { from: ['resizing', 'snapshotting'], to: 'desired', desired: 'keep' },
  archive: { from: ['stopped'], to: 'archiving', desired: 'archived' },
  archived: { from: ['archiving'], to: 'archived', desired: 'keep' },
  archiveFailed: { from: ['archiving'], to: 'stopped', desired: 'stopped' },
  restore: { from: ['archived', 'error'], to: 'restoring', desired: 'started' },
  restored: { from: ['restoring'], to: 'starting', desired: 'keep' },
  fail: { from: ['creating', 'pulling_snapshot', 'restoring', 'starting', 'stopping'], to: 'error', desired: 'keep' },
  timeout: { from: ['creating', 'pulling_snapshot', 'restoring', 'starting', 'stopping'], to: 'error', desired: 'keep' },
  /** The runner has no disk of it any more, or one that can neither run nor be called stopped. */
  lost: { from: ['started', 'stopped', 'starting', 'stopping'], to: 'error', desired: 'keep' },
  /** A warm sandbox gets its owner; its state does not change but its event is sent. */
  claim: { from: ['started'], to: 'started', desired: 'keep' },
  /** As `claim`, but env or network of its owner are still to be applied. */
  claimUnready: { from: ['started'], to: 'starting', desired: 'keep' },
  destroy: { from: DESTROYABLE, to: 'destroying', desired: 'destroyed' },
  destroyed: { from: ['destroying'], to: 'destroyed', desired: 'keep' },
};

/** State after a move. */
export function stateAfter(trigger: Trigger, desired: DesiredState): SandboxState {
  const { to } = MOVES[trigger];
  if (to !== 'desired') return to;
  return desired === 'started' ? 'started' : 'stopped';
}

export function canMove(trigger: Trigger, state: SandboxState): boolean {
  return MOVES[trigger].from.includes(state);
}

/** What the reconciler does with a row. `begin` names the move that makes the wanted end pending. */
export type Step =
  | { readonly do: 'image' | 'put' | 'stop' | 'resize' | 'snapshot' | 'archive' | 'restore' | 'delete' }
  | { readonly begin: 'start' | 'stop' | 'destroy' }
  | null;

const PENDING: Partial<Readonly<Record<SandboxState, Step>>> = {
  pending_build: { do: 'image' },
  building_snapshot: { do: 'image' },
  pulling_snapshot: { do: 'image' },
  creating: { do: 'put' },
  starting: { do: 'put' },
  stopping: { do: 'stop' },
  resizing: { do: 'resize' },
  snapshotting: { do: 'snapshot' },
  archiving: { do: 'archive' },
  restoring: { do: 'restore' },
  destroying: { do: 'delete' },
};

/** States whose work is not done: the sweep wakes the reconciler for them. */
export const PENDING_STATES = Object.keys(PENDING) as readonly SandboxState[];

export function nextStep(state: SandboxState, desired: DesiredState): Step {
  if (desired === 'destroyed' && canMove('destroy', state)) return { begin: 'destroy' };
  const pending = PENDING[state];
  if (pending) return pending;
  if (state === 'started' && desired === 'stopped') return { begin: 'stop' };
  if (state === 'stopped' && desired === 'started') return { begin: 'start' };
  return null;
}

/**
 * How long a state may be pending before the sandbox is declared failed (`timeout`), counted from the last state change.
 * - creating, starting 2 min: a cold start takes about 100 ms; two minutes outlast a restart of the runner and of
 *   PostgreSQL together. Shorter would turn such a restart into failed sandboxes, longer only delays bad news.
 * - pulling_snapshot 30 min, builds 60 min: wire.
 * - stopping 1 min: the runner kills after 10 s, so six times that means it cannot.
 * - resizing 1 min, snapshotting 10 min: both take well under a second; the snapshot may have to wait for the runner to come back. Then it is as before.
 * - restoring 30 min: wire. Only the time counts in which nothing is being copied.
 * - archiving has none: the disk is where it was, and a start or a delete ends it. A runner that reports failures for too long does too.
 * - destroying has none: giving up would leak; it is retried until the runner confirms.
 */
export const PENDING_TIMEOUT_MS: Partial<Readonly<Record<SandboxState, number>>> = {
  pending_build: 3_600_000,
  building_snapshot: 3_600_000,
  pulling_snapshot: 1_800_000,
  creating: 120_000,
  starting: 120_000,
  stopping: 60_000,
  resizing: 60_000,
  snapshotting: 600_000,
  restoring: 1_800_000,
};

/** State on the wire for rows that lag behind what is wanted of them: [state, desired] → shown. */
const SHOWN: ReadonlyArray<readonly [SandboxState, DesiredState, SandboxState]> = [
  ['unknown', 'started', 'creating'],
  ['started', 'stopped', 'stopping'],
  ['started', 'destroyed', 'destroying'],
  ['stopped', 'started', 'starting'],
  ['stopped', 'destroyed', 'destroying'],
  ['stopped', 'archived', 'archiving'],
  ['archived', 'started', 'restoring'],
];

export function shownState(state: SandboxState, desired: DesiredState): SandboxState {
  return SHOWN.find(([s, d]) => s === state && d === desired)?.[2] ?? state;
}

/** Has its work done; nothing but a new request, a clock or a drift changes it. */
export function isSettled(state: SandboxState, desired: DesiredState): boolean {
  return nextStep(state, desired) === null;
}

/** wire: these rows are 404 for clients. */
export function isGone(state: SandboxState, desired: DesiredState): boolean {
  return state === 'destroyed' || ((state === 'error' || state === 'build_failed') && desired === 'destroyed');
}

/** The runner may hold processes, a disk or a network slot of it. */
export function mayExist(state: SandboxState): boolean {
  return state !== 'destroyed' && state !== 'archived';
}

/** What must hold for every committed row; each broken rule is one sentence. */
export function violations(row: { state: SandboxState; desiredState: DesiredState; runnerId: string | null; errorReason: string | null }): string[] {
  const broken: string[] = [];
  if (!SANDBOX_STATES.includes(row.state)) broken.push(`unknown state ${row.state}`);
  if (!DESIRED_STATES.includes(row.desiredState)) broken.push(`unknown desired state ${row.desiredState}`);
  if (!mayExist(row.state) && row.runnerId !== null) broken.push(`${row.state} but still on runner ${row.runnerId}`);
  if ((row.state === 'destroying' || row.state === 'destroyed') && row.desiredState !== 'destroyed') broken.push(`${row.state} but desired ${row.desiredState}`);
  if ((row.state === 'error' || row.state === 'build_failed') && !row.errorReason) broken.push('error without a reason');
  return broken;
}
