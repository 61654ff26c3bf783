import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { absolute } from '../files/paths.ts';

const SCHEME = 'file://';

/**
 * The file a client means. Clients send `file://` and a path as their user wrote it: absolute or relative to the work dir,
 * percent-encoded or not.
 */
export function documentPath(uri: string): string {
  const plain = absolute(uri.startsWith(SCHEME) ? uri.slice(SCHEME.length) : uri);
  if (!uri.includes('%') || existsSync(plain)) return plain;
  try {
    const decoded = fileURLToPath(pathToFileURL('/').href + decodeURIComponent(plain).slice(1).split('/').map(encodeURIComponent).join('/'));
    return existsSync(decoded) ? decoded : plain;
  } catch {
    return plain;
  }
}

export const uriOf = (path: string): string => pathToFileURL(path).href;
