import { statSync } from 'node:fs';
import os from 'node:os';
import { resolve } from 'node:path';
import { badRequest } from '../errors.ts';

/** The user's home. */
export const homeDir: string = process.env['HOME'] || os.homedir();

/**
 * Where every relative path of the API begins: the directory the toolbox was started in, or home when the image names none.
 * Fixed at start; the process never changes directory.
 */
export const workDir: string = process.env['PADDOCK_HOME_AS_WORKDIR'] === '1' ? homeDir : process.cwd();

/** The directory a request names, absolute; the work dir when it names none. */
export function existingDirectory(path: string | undefined): string {
  if (path === undefined || path === '') return workDir;
  const absolute = resolve(workDir, path);
  if (path.includes('\0') || statSync(absolute, { throwIfNoEntry: false })?.isDirectory() !== true) throw badRequest(`no such directory: ${path.slice(0, 200)}`);
  return absolute;
}
