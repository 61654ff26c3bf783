/** As RFC 3986 and SigV4 have it: everything but letters, digits and `-._~`. */
export function encodeStrict(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A key as the path of a URL. */
export function encodeKey(key: string): string {
  return key.split('/').map(encodeStrict).join('/');
}
