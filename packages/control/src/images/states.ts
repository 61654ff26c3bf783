/**
 * The life of an image in the runner's store as data.
 *
 * ```
 *  want ▶ pending ─send▶ preparing ─ready▶ ready ─drop▶ removing ▶ (no row)
 *            ▲  ▲           │   │           └─offload▶ leaving ─left▶ away
 *            │  └─retry─────┘   └─fail▶ failed                         │
 *            └────────────lost, want───────────────────────────────────┘
 * ```
 *
 * A move is written only if the row still is in a state the move starts from.
 */
export const IMAGE_STATES = ['pending', 'preparing', 'ready', 'failed', 'leaving', 'away', 'removing'] as const;
export type ImageState = (typeof IMAGE_STATES)[number];

export type ImageTrigger = 'send' | 'prepare' | 'ready' | 'fail' | 'retry' | 'lost' | 'want' | 'offload' | 'left' | 'drop';

export interface ImageMove {
  readonly from: readonly ImageState[];
  readonly to: ImageState;
}

export const IMAGE_MOVES: Readonly<Record<ImageTrigger, ImageMove>> = {
  /** Before the runner is told: what it makes always has a row that knows of it. */
  send: { from: ['pending'], to: 'preparing' },
  /** The runner makes it by itself: a recipe at its start, or one that it tries again. */
  prepare: { from: ['pending', 'failed', 'ready'], to: 'preparing' },
  /** From `ready`: the runner knows more of it than the row. */
  ready: { from: ['pending', 'preparing', 'failed', 'ready'], to: 'ready' },
  fail: { from: ['pending', 'preparing', 'ready'], to: 'failed' },
  /** It failed for a reason that may pass. */
  retry: { from: ['pending', 'preparing'], to: 'pending' },
  /** The runner has nothing of it: its pool was made anew. */
  lost: { from: ['ready'], to: 'pending' },
  /** Somebody asks for it (again). */
  want: { from: ['failed', 'leaving', 'away', 'removing'], to: 'pending' },
  /** Published, and only wanted by those who sleep: the runner's copy goes. */
  offload: { from: ['ready'], to: 'leaving' },
  left: { from: ['leaving'], to: 'away' },
  /** Nothing refers to it any more. */
  drop: { from: ['pending', 'preparing', 'ready', 'failed', 'leaving', 'away'], to: 'removing' },
};

/** States in which the reconciler has something to do or to find out. */
export const UNSETTLED: readonly ImageState[] = ['pending', 'preparing', 'leaving', 'removing'];
