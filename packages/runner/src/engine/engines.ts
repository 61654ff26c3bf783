/** OCI runtimes the runner can drive and what each can do. Adding one means a row here, not a branch elsewhere. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Engine {
  readonly name: string;
  /** Program looked up in PATH. */
  readonly program: string;
  /** Joins a user namespace that was made before. */
  readonly joinsUserNamespace: boolean;
  /** Works beside a v2 hierarchy without controllers. */
  readonly hybridCgroups: boolean;
  readonly nestedContainers: boolean;
  readonly checkpoint: boolean;
  /** The sandbox's system calls are served by the host's kernel. */
  readonly sharesKernel: boolean;
}

export const ENGINES: readonly Engine[] = [
  { name: 'runc', program: 'runc', joinsUserNamespace: true, hybridCgroups: true, nestedContainers: true, checkpoint: true, sharesKernel: true },
];

export interface FoundEngine extends Engine {
  readonly path: string;
}

/** The first engine of the table that is installed and does what a sandbox of the default class needs. */
export function findEngine(searchPath = process.env['PATH'] ?? ''): FoundEngine {
  const directories = [...searchPath.split(delimiter), '/usr/sbin', '/usr/bin', '/sbin', '/bin'].filter(Boolean);
  for (const engine of ENGINES) {
    for (const directory of directories) {
      const path = join(directory, engine.program);
      if (isExecutable(path)) return { ...engine, path };
    }
  }
  throw new Error(`No OCI runtime found: install ${ENGINES.map((engine) => engine.program).join(' or ')}.`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
