import { createHash, randomUUID } from 'node:crypto';
import type { RunnerImageConfig } from '@paddock/contract';
import type { Publication } from './publication.ts';
import type { ImageState } from './states.ts';

/** What an image is made of, as it is kept: without credentials and addresses that expire. */
export type StoredSource =
  | { readonly kind: 'recipe' }
  /** `host/repository@sha256:<hex>`. */
  | { readonly kind: 'registry'; readonly reference: string }
  | { readonly kind: 'build'; readonly dockerfile: string; readonly contextHashes: readonly string[] }
  | { readonly kind: 'sandbox'; readonly sandboxId: string };

/** A row of `images`. */
export interface Image {
  readonly name: string;
  readonly source: StoredSource;
  /** Whose credentials open its registries; null for recipes. */
  readonly organizationId: string | null;
  readonly state: ImageState;
  readonly reason: string | null;
  readonly sizeBytes: number | null;
  readonly config: RunnerImageConfig | null;
  /** Attempts in a row that failed for a reason that may pass. */
  readonly attempts: number;
  readonly retryAt: Date | null;
  readonly publication: Publication;
  /** `repository@digest` in this server's registry. */
  readonly published: string | null;
  readonly publishAttempts: number;
  /** Why the last attempt to publish it failed. */
  readonly publishProblem: string | null;
  readonly publishAt: Date | null;
}

/** What a Dockerfile build is identified by. wire: the hash of the text and the sorted hashes of its contexts. */
export interface BuildRequest {
  readonly dockerfile: string;
  readonly contextHashes: readonly string[];
}

export function buildHash({ dockerfile, contextHashes }: BuildRequest): string {
  return createHash('sha256').update(dockerfile + contextHashes.toSorted().join('')).digest('hex');
}

/** wire: what a DTO calls a built image. */
export function buildReference(build: BuildRequest): string {
  return `daytona-${buildHash(build)}:daytona`;
}

/** A name stands for one content for ever, so what can differ gets a new one. */
export const newImageName = (kind: 'build' | 'sandbox') => `${kind}-${randomUUID()}`;

/**
 * One name for what one place has under a digest. Another place that claims the same digest gets a name of its own: nobody waits for,
 * or fails with, a registry that somebody else chose. Their layers are still stored once.
 * @param reference `host/repository@sha256:<hex>`
 */
export const nameOfReference = (reference: string) => `sha256-${createHash('sha256').update(reference).digest('hex')}`;

/** Made by our order, as opposed to the recipes that a runner ships. */
export const isOrdered = (name: string) => /^(sha256|build|sandbox)-/.test(name);
