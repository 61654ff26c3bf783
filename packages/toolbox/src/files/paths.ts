import { join, resolve } from 'node:path';
import { workDir } from '../environment/places.ts';
import { badRequest } from '../errors.ts';
import { type Exchange, requiredQuery } from '../http/exchange.ts';

/** Absolute path of what a client names: relative ones begin at the work dir. No `~`, no variables, no jail. */
export function absolute(path: string): string {
  if (path.includes('\0')) throw badRequest('the path contains a NUL character');
  return resolve(workDir, path);
}

export function pathParameter(exchange: Exchange, name = 'path'): string {
  return absolute(requiredQuery(exchange, name));
}

/** How a found entry is named to the client: below the root as the client wrote it. */
export function named(root: string, relative: string): string {
  return relative === '' ? root : join(root, relative);
}

const OCTAL = /^0?o?[0-7]{1,6}$/;

/** Permission bits of an octal text; set-id and sticky bits are dropped. */
export function permissionBits(text: string): number {
  if (!OCTAL.test(text)) throw badRequest(`invalid mode: ${text.slice(0, 50)}, an octal number such as 0755 is expected`);
  return Number.parseInt(text.replace('o', ''), 8) & 0o777;
}
