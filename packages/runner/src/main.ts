/** The runner process: settings on stdin, requests on its unix socket, one log line an operation on stdout. Root. */
import { readConfig, tellParent } from '@paddock/contract';
import { pino } from 'pino';
import { RefusedToStart, runRunner, type RunningRunner } from './runner.ts';

// One thread of the pool waits for sandboxes to end for as long as the runner lives; the others are for files.
process.env['UV_THREADPOOL_SIZE'] ??= '8';

// Root directories of sandboxes and the guest runtime are read by others than root, whatever the operator's shell says.
process.umask(0o022);

/** What is in progress gets this long at a stop; a start or a stop of a sandbox takes less, and the next runner finishes the rest. */
const STOP_MS = 12_000;

let runner: RunningRunner | null = null;
let stopping = false;

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(0), STOP_MS).unref();
  await runner?.close();
  process.exit(0);
}

process.on('SIGTERM', () => void stop());
process.on('SIGINT', () => void stop());

const config = await readConfig(() => void stop());
const log = pino({ name: 'runner', level: config.logLevel, base: null });

try {
  if (process.getuid?.() !== 0) throw new RefusedToStart('The runner needs root: it makes namespaces, mounts and cgroups.');
  const running = await runRunner(config, log);
  runner = running;
  if (stopping) await running.close();
  else tellParent({ type: 'ready' });
} catch (error) {
  if (error instanceof RefusedToStart) tellParent({ type: 'refused', reason: error.message });
  log.fatal({ err: error }, 'the runner cannot start');
  process.exit(1);
}
