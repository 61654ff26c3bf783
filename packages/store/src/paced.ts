const waiting: (() => void)[] = [];
let scheduled = false;

/** Resolves for one caller in each turn of the event loop. */
function oneATurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    schedule();
  });
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(() => {
    scheduled = false;
    waiting.shift()?.();
    if (waiting.length > 0) schedule();
  });
}

/**
 * Passes a body on, of all bodies one piece in a turn of the event loop: however many come in or go out at once, whatever else the loop
 * serves waits for one piece of 64 or 256 KiB at a time and not for one of each.
 */
export async function* paced<T>(body: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const piece of body) {
    await oneATurn();
    yield piece;
  }
}
