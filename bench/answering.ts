import { setTimeout as sleep } from 'node:timers/promises';
import type { Paddock } from '../e2e/support/harness.ts';
import { timed } from './stats.ts';

/** Milliseconds of an answer of the API, again and again until the work ends. */
export async function answering(paddock: Paddock, work: Promise<unknown>, into: number[]): Promise<void> {
  let over = false;
  const asking = (async () => {
    while (!over) {
      into.push(await timed(async () => (await fetch(`${paddock.apiUrl}/users/me`, { headers: { authorization: `Bearer ${paddock.apiKey}` } })).text()));
      await sleep(5);
    }
  })();
  try {
    await work;
  } finally {
    over = true;
    await asking;
  }
}
