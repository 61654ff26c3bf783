import { createHash } from 'node:crypto';

/** ETag of an object of several parts as S3 makes it: md5 over the parts' md5s, a dash, their number. */
export function composedEtag(parts: readonly string[]): string {
  const md5 = createHash('md5');
  for (const part of parts) md5.update(/^[0-9a-f]{32}$/.test(part) ? Buffer.from(part, 'hex') : part);
  return `${md5.digest('hex')}-${parts.length}`;
}
