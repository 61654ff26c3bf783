/** What can go wrong with a registry, as sentences for the user. */

/**
 * `not-found`: the registry has no such image, or does not tell those who may not see it. `refused`: credentials. `unavailable`: no
 * answer, 429 or 5xx, so asking again later may help. `invalid`: it answered what no registry should, or what this runner cannot use.
 */
export type RegistryFailure = 'not-found' | 'refused' | 'unavailable' | 'invalid';

export class RegistryError extends Error {
  readonly failure: RegistryFailure;

  constructor(failure: RegistryFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }
}
