import { RegistryError } from './errors.ts';

export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'token' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: string };

const BASE = '/v2/';

export function isRegistryPath(url: string): boolean {
  return url.startsWith(BASE) || url === '/v2' || url.startsWith('/v2?');
}

/**
 * Read from the end: a repository's name may hold words such as `blobs` and `manifests`. Names, digests and tags are not
 * checked here.
 * @param path of the request, without the query
 */
export function routeOf(path: string): Route {
  const parts = decoded(path.slice(BASE.length)).split('/');
  const [third = '', second = '', last = ''] = [parts.at(-3), parts.at(-2), parts.at(-1)];
  if (parts.length === 1) {
    if (last === '') return { kind: 'base' };
    if (last === 'token') return { kind: 'token' };
    if (last === '_catalog') return { kind: 'catalog' };
    throw new RegistryError('NOT_FOUND');
  }
  const name = (dropped: number) => parts.slice(0, -dropped).join('/');
  if (third === 'blobs' && second === 'uploads') return last === '' ? { kind: 'uploads', repository: name(3) } : { kind: 'upload', repository: name(3), id: last };
  if (second === 'blobs' && last === 'uploads') return { kind: 'uploads', repository: name(2) };
  if (second === 'blobs') return { kind: 'blob', repository: name(2), digest: last };
  if (second === 'manifests') return { kind: 'manifest', repository: name(2), reference: last };
  if (second === 'tags' && last === 'list') return { kind: 'tags', repository: name(2) };
  if (second === 'referrers') return { kind: 'referrers', repository: name(2), digest: last };
  throw new RegistryError('NOT_FOUND');
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new RegistryError('NAME_INVALID', { message: 'The path is not percent-encoded correctly' });
  }
}
