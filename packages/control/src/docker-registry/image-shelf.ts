import type { RegistryAuth } from '@paddock/contract';
import type { ImageShelf, PublishedImages } from '../images/index.ts';
import type { OwnRegistry } from './own-registry.ts';

/** No organization's id, so that no credential for a client ever covers it: those are for what lies below an id. */
const PREFIX = 'paddock/images/';

/** Outlasts the largest layer. Only the runner ever has such a credential. */
const LIFETIME_MS = 12 * 3_600_000;

/** The place in this server's registry where runners leave images for each other. One repository an image: what becomes of one touches no other. */
export class RegistryShelf implements ImageShelf, PublishedImages {
  readonly #registry: OwnRegistry;

  constructor(registry: OwnRegistry) {
    this.#registry = registry;
  }

  /** Layers that another image shares are taken over from there, so all of them may be read. */
  async placeOf(name: string): Promise<{ readonly repository: string; readonly auth: RegistryAuth }> {
    const auth = await this.#registry.accessTo('runner', [{ repositories: `${PREFIX}${name}`, actions: ['pull', 'push'] }, { repositories: PREFIX, actions: ['pull'] }], LIFETIME_MS);
    return { repository: `${this.#registry.address}/${PREFIX}${name}`, auth };
  }

  /** The address may be another one at the next start. */
  stored(reference: string): string {
    return reference.slice(reference.indexOf('/') + 1);
  }

  async access(published: string): Promise<{ readonly reference: string; readonly auth: RegistryAuth }> {
    const [repository = ''] = published.split('@');
    return { reference: `${this.#registry.address}/${published}`, auth: await this.#registry.accessTo('runner', [{ repositories: repository, actions: ['pull'] }], LIFETIME_MS) };
  }

  async drop(name: string): Promise<void> {
    await (await this.#registry.open()).drop(`${PREFIX}${name}`);
  }

  async* names(): AsyncGenerator<string> {
    for await (const repository of (await this.#registry.open()).repositories(PREFIX)) yield repository.slice(PREFIX.length);
  }
}
