import { lstat, rm, unlink } from 'node:fs/promises';
import { badRequest } from '../errors.ts';
import { type Exchange, query, sendEmpty } from '../http/exchange.ts';
import { pathParameter } from './paths.ts';

/** `DELETE /files`: a file, a link itself, or with `recursive=true` (that word) a directory and all below. */
export async function handle(exchange: Exchange): Promise<void> {
  const path = pathParameter(exchange);
  if (path === '/') throw badRequest('the root directory cannot be deleted');
  const found = await lstat(path);
  if (!found.isDirectory()) await unlink(path);
  else if (query(exchange, 'recursive') === 'true') await rm(path, { recursive: true });
  else throw badRequest(`cannot delete a directory without recursive=true: ${path}`);
  sendEmpty(exchange, 204);
}
