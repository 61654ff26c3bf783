import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { paced } from '../src/paced.ts';

async function* ready(pieces: number): AsyncGenerator<number> {
  for (let i = 0; i < pieces; i++) yield i;
}

test('of all bodies under way one piece passes in a turn of the event loop, and none waits for the end of another', async () => {
  const order: string[] = [];
  let [inTurn, most, over] = [0, 0, false];
  const turns = (async () => {
    while (!over) {
      await nextTurn();
      most = Math.max(most, inTurn);
      inTurn = 0;
    }
  })();
  await Promise.all(['a', 'b', 'c', 'd'].map(async (name) => {
    for await (const piece of paced(ready(20))) {
      inTurn += 1;
      order.push(name + piece);
    }
  }));
  over = true;
  await turns;
  expect(most).toBe(1);
  expect(order).toHaveLength(80);
  expect(order.slice(0, 8)).toEqual(['a0', 'b0', 'c0', 'd0', 'a1', 'b1', 'c1', 'd1']);
});

test('a body that fails or is left ends as it would without', async () => {
  async function* failing(): AsyncGenerator<number> {
    yield 1;
    throw new Error('cut');
  }
  const seen: number[] = [];
  await expect((async () => { for await (const piece of paced(failing())) seen.push(piece); })()).rejects.toThrow('cut');
  expect(seen).toEqual([1]);
  let closed = false;
  async function* open(): AsyncGenerator<number> {
    try {
      for (;;) yield 1;
    } finally {
      closed = true;
    }
  }
  for await (const _ of paced(open())) break;
  expect(closed).toBe(true);
});
