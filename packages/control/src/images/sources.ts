import type { ImageSource, RegistryAuth } from '@paddock/contract';
import { basesOf, localBases } from './references.ts';
import type { Image } from './image.ts';

/** Credentials of an organization's registries, as they are at the moment of asking. */
export interface RegistryCredentials {
  /**
   * How the runner gets at what the user calls `reference`. Throws StatusError(400) with a sentence for the user when there is
   * a credential that cannot be had.
   * @returns the reference as the runner must write it; `auth` null: anonymously
   */
  access(organizationId: string, reference: string): Promise<{ readonly reference: string; readonly auth: RegistryAuth | null }>;
  /** What opens the registries that a build's base images lie in. @param references of the base images, as the Dockerfile writes them */
  authsFor(organizationId: string, references: readonly string[]): Promise<readonly RegistryAuth[]>;
}

/** Build contexts that clients uploaded. */
export interface BuildContexts {
  /** Address under which the runner can read the tar for the next hours; null: nobody uploaded it. */
  urlOf(organizationId: string, hash: string): Promise<string | null>;
}

/** Images in this server's registry. */
export interface PublishedImages {
  /** How the runner gets at what the row names. @param published Image.published */
  access(published: string): Promise<{ readonly reference: string; readonly auth: RegistryAuth }>;
}

export type Resolved = { readonly source: ImageSource } | { readonly problem: string };

export interface SourceDeps {
  readonly credentials: RegistryCredentials;
  readonly contexts: BuildContexts;
  readonly published: PublishedImages;
}

/** Completes what is kept of a source with what must not be kept: credentials and addresses that expire. */
export async function resolveSource(image: Image, { credentials, contexts, published }: SourceDeps): Promise<Resolved> {
  const { source, organizationId } = image;
  // Better than its source: a name stands for one content, and a build made again is another one.
  if (image.published !== null) return { source: { kind: 'registry', ...(await published.access(image.published)), published: source.kind === 'sandbox' ? 'disk' : 'image' } };
  if (source.kind === 'recipe' || source.kind === 'sandbox') return { source };
  if (organizationId === null) return { problem: 'The image belongs to no organization' };
  if (source.kind === 'registry') {
    return { source: { kind: 'registry', ...(await credentials.access(organizationId, source.reference)) } };
  }
  const urls: string[] = [];
  for (const hash of source.contextHashes) {
    const url = await contexts.urlOf(organizationId, hash);
    if (url === null) return { problem: `Build context ${hash} was not found in object storage. Upload it again and repeat the build.` };
    urls.push(url);
  }
  return {
    source: {
      kind: 'build', organizationId, dockerfile: source.dockerfile, contexts: urls, auths: await credentials.authsFor(organizationId, basesOf(source.dockerfile)),
      localBases: localBases(source.dockerfile),
    },
  };
}
