import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { currentEnv } from '../environment/environment.ts';
import { homeDir, workDir } from '../environment/places.ts';

/**
 * Starts the snapshot's entrypoint in the work dir, its output appended to `~/.daytona/entrypoint.log`. Its end does not end
 * the sandbox. An entrypoint that cannot start leaves the reason in the same file.
 */
export function startEntrypoint(argv: readonly string[]): void {
  const dir = join(homeDir, '.daytona');
  let log: number;
  try {
    mkdirSync(dir, { recursive: true });
    log = openSync(join(dir, 'entrypoint.log'), 'a', 0o644);
  } catch {
    log = openSync('/dev/null', 'a');
  }
  const child = spawn(argv[0]!, argv.slice(1), { cwd: workDir, env: currentEnv(), detached: true, stdio: ['ignore', log, log] });
  child.on('error', (error) => console.error(JSON.stringify({ level: 'error', message: 'the entrypoint did not start', reason: error.message })));
  child.unref();
  closeSync(log);
}
