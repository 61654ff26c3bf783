import type { Layout } from '@paddock/contract';
import { killQuietly, outlast } from '../host/process-identity.ts';
import { runningInstance } from '../supervisor/state-file.ts';

/** Longer than the three parts take one after the other when each has to be killed. */
const STOP_MS = 45_000;

/** Asks a running server to stop and waits for it. Sandboxes go on running. @returns whether there was one */
export async function stopInstance(layout: Layout): Promise<boolean> {
  const state = runningInstance(layout);
  if (!state) return false;
  killQuietly(state.supervisor.pid, 'SIGTERM');
  await outlast([state.supervisor], STOP_MS);
  return true;
}
