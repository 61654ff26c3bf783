import { cp, lstat, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { badRequest, errnoOf, fail } from '../errors.ts';
import { type Exchange, sendEmpty, sendJson } from '../http/exchange.ts';
import { pathParameter } from './paths.ts';

/** `POST /files/move`: renames, across file systems by copy. Never replaces what is there, never moves into it. */
export async function handle(exchange: Exchange): Promise<void> {
  const source = pathParameter(exchange, 'source');
  const destination = pathParameter(exchange, 'destination');
  await lstat(source);
  const parent = await stat(dirname(destination));
  if (!parent.isDirectory()) throw badRequest(`not a directory: ${dirname(destination)}`);
  if (await exists(destination)) throw fail('CONFLICT', `conflict: destination already exists: ${destination}`);
  try {
    await rename(source, destination);
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error;
    return await acrossDevices(exchange, source, destination);
  }
  sendEmpty(exchange, 200);
}

async function acrossDevices(exchange: Exchange, source: string, destination: string): Promise<void> {
  try {
    await cp(source, destination, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true, errorOnExist: true, force: false });
  } catch (error) {
    await rm(destination, { recursive: true, force: true });
    throw error;
  }
  try {
    await rm(source, { recursive: true });
  } catch (error) {
    return sendJson(exchange, 200, { message: 'file was copied, but the source could not be deleted', error: (error as Error).message });
  }
  sendEmpty(exchange, 200);
}

const exists = (path: string): Promise<boolean> => lstat(path).then(() => true, (error: unknown) => {
  if (errnoOf(error) === 'ENOENT') return false;
  throw error;
});
