/**
 * Gives memory back once a burst of work is over. V8 collects when it allocates, so a daemon that falls quiet would keep what its
 * last requests left: some 3 MiB, which is a quarter of all a sandbox costs while it idles.
 */

/** Silence after which nobody is likely to be waiting for the 10 ms that the collection takes. */
const QUIET_MS = 10_000;

let lastRequestMs = 0;
let timer: NodeJS.Timeout | null = null;

/** Called for each request, for the end of each connection and for a terminal's output. One timer a burst: it looks back at the last request when it fires. */
export function becameBusy(): void {
  lastRequestMs = performance.now();
  timer ??= wake(QUIET_MS);
}

function wake(afterMs: number): NodeJS.Timeout {
  return setTimeout(() => {
    const quietMs = performance.now() - lastRequestMs;
    if (quietMs < QUIET_MS) {
      timer = wake(QUIET_MS - quietMs);
      return;
    }
    timer = null;
    void collect();
  }, afterMs).unref();
}

/**
 * V8 lets go of the code of a function once so many collections found it unused. They run one by one, 5 to 10 ms each, so that a
 * request which comes after all waits for one of them.
 */
const ROUNDS = 7;

/** The engine starts the toolbox with `--expose-gc`; started by hand without it, memory stays as it is. */
async function collect(): Promise<void> {
  const { gc } = globalThis as { gc?: (options: { type: 'major'; flavor: 'last-resort' }) => void };
  if (gc === undefined) return;
  for (let round = 0; round < ROUNDS && timer === null; round++) {
    gc({ type: 'major', flavor: 'last-resort' });
    await new Promise((resolve) => setImmediate(resolve));
  }
  try {
    (await import('../pty/system-calls.ts')).trimHeap();
  } catch (error) {
    console.error(JSON.stringify({ level: 'warn', message: 'memory that is free stays with the C library', reason: (error as Error).message }));
  }
}
