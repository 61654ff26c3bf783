import { chmod, mkdir, stat } from 'node:fs/promises';
import { badRequest, errnoOf } from '../errors.ts';
import { type Exchange, query, sendEmpty } from '../http/exchange.ts';
import { pathParameter, permissionBits } from './paths.ts';

/** `POST /files/folder`: makes a directory and its parents; one that exists is fine and stays as it is. */
export async function handle(exchange: Exchange): Promise<void> {
  const path = pathParameter(exchange);
  const mode = permissionBits(query(exchange, 'mode') || '0755');
  try {
    const made = await mkdir(path, { recursive: true, mode: 0o755 });
    // The umask takes bits away at creation; the caller asked for exactly these.
    if (made !== undefined) await chmod(path, mode);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw errnoOf(error) === 'EEXIST' ? badRequest(`a file of that name exists: ${path}`) : error;
  }
  sendEmpty(exchange, 201);
}
