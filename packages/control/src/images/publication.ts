/**
 * Whether an image that was made here is in this server's registry, as data. It says nothing about the runner's copy, which has
 * states of its own.
 *
 * ```
 *  none ─publish▶ published ─forget▶ none
 *   │ └─retry▶ waiting ─publish▶ published
 *   └─refuse▶ refused
 * ```
 */
import type { Image, StoredSource } from './image.ts';

export const PUBLICATIONS = ['none', 'waiting', 'published', 'refused'] as const;
export type Publication = (typeof PUBLICATIONS)[number];

export type PublicationTrigger = 'publish' | 'retry' | 'refuse' | 'forget';

export const PUBLICATION_MOVES: Readonly<Record<PublicationTrigger, { readonly from: readonly Publication[]; readonly to: Publication }>> = {
  publish: { from: ['none', 'waiting'], to: 'published' },
  /** It failed for a reason that may pass. */
  retry: { from: ['none', 'waiting'], to: 'waiting' },
  /** Its files cannot be an image. */
  refuse: { from: ['none', 'waiting'], to: 'refused' },
  /** The registry does not have it any more, and it can be made again from its source. */
  forget: { from: ['published'], to: 'none' },
};

/** What was pulled lies in a registry already, and recipes are made on any machine. */
export const PUBLISHABLE: ReadonlyArray<StoredSource['kind']> = ['build', 'sandbox'];

export function isPublishable({ source }: Pick<Image, 'source'>): boolean {
  return PUBLISHABLE.includes(source.kind);
}

/** Columns beside the state. Absent ones are emptied. */
export interface PublicationPatch {
  /** `repository@digest`. */
  readonly published?: string;
  readonly attempts?: number;
  readonly problem?: string | null;
  readonly at?: Date | null;
}
