import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Time that processes of a killed server get to end by themselves: its children notice at once, a server whose parent
 * died does a fast shutdown. Cutting that short costs a recovery at the next start, no data.
 */
const GRACE_MS = 3_000;

/**
 * Waits until no process of an earlier server works on the data directory, ends those that stay, and removes the files
 * by which that server said it was there. Without this a start fails while an old child still holds the shared memory,
 * or when another program happens to have the old server's pid.
 *
 * The caller holds the instance's lock: there is no other server that could be meant.
 */
export async function clearLeftovers(dataDir: string, socketDir: string): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid');
  if (!statSync(pidFile, { throwIfNoEntry: false })) return;
  const deadline = Date.now() + GRACE_MS;
  for (let left = workingIn(dataDir); left.length > 0; left = workingIn(dataDir)) {
    if (Date.now() > deadline) for (const pid of left) kill(pid);
    await sleep(10);
  }
  rmSync(pidFile, { force: true });
  for (const file of ['.s.PGSQL.5432', '.s.PGSQL.5432.lock']) rmSync(join(socketDir, file), { force: true });
}

/** Every process of a server has the data directory as its working directory; compared as an inode, for it is bind-mounted. */
function workingIn(dataDir: string): number[] {
  const wanted = statSync(dataDir);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const cwd = statSync(`/proc/${pid}/cwd`);
        return cwd.ino === wanted.ino && cwd.dev === wanted.dev && pid !== process.pid;
      } catch {
        return false; // ended while we looked
      }
    });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ended by itself
  }
}
