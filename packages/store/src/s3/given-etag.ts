/**
 * User metadata that carries an ETag given by the caller. A store makes its own all the same, except ours: it takes the given one and
 * spares itself the md5. Whoever sends it names his own object.
 */
export const GIVEN_ETAG = 'paddock-etag';

/** @returns what an object with such metadata has for its ETag; undefined: the usual */
export function givenEtag(metadata: Readonly<Record<string, string>> = {}): string | undefined {
  const etag = metadata[GIVEN_ETAG];
  return etag !== undefined && /^[0-9a-f]{32,64}$/.test(etag) ? etag : undefined;
}
