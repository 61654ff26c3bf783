import { setTimeout as sleep } from 'node:timers/promises';

/** Looks every 50 ms. */
export async function until(isTrue: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; !(await isTrue()); await sleep(50)) {
    if (Date.now() > deadline) throw new Error(`it did not come true within ${timeoutMs} ms: ${String(isTrue)}`);
  }
}
