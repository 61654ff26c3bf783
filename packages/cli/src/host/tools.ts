import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import packages from './system-packages.json' with { type: 'json' };

/** A package of the distribution and what shows that it is there: commands on the PATH, or files. */
export interface SystemPackage {
  readonly package: string;
  readonly finds: readonly string[];
  /** What does not work without it. */
  readonly costs: string;
  /** Paddock works without it. */
  readonly optional?: boolean;
}

export const SYSTEM_PACKAGES: readonly SystemPackage[] = packages;

/** sbin is where Debian keeps most of what we call, and not on every user's PATH. */
const FOLDERS = [...new Set([...(process.env['PATH'] ?? '').split(':').filter(Boolean), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'])];

/** @returns path of the command, or null */
export function findTool(name: string): string | null {
  if (name.startsWith('/')) return existsSync(name) ? name : null;
  for (const folder of FOLDERS) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // next folder
    }
  }
  return null;
}

export function missingPackages(): readonly SystemPackage[] {
  return SYSTEM_PACKAGES.filter((one) => !one.finds.every((name) => findTool(name) !== null));
}
