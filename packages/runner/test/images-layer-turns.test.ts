import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LayerTurns } from '../src/images/layer-turns.ts';

const NEVER = 3_600_000;

/** Tasks that begin when it is their turn and end when they are told. */
function tasks(turns: LayerTurns, count: number) {
  const begun: number[] = [];
  const made = Array.from({ length: count }, (_, index) => {
    const end = Promise.withResolvers<void>();
    const abort = new AbortController();
    const done = turns.run(abort.signal, async () => {
      begun.push(index);
      await end.promise;
      return index;
    });
    done.catch(() => undefined);
    return { done, end: () => end.resolve(), abort: () => abort.abort(new Error('not wanted')) };
  });
  return { begun, made };
}

describe('turns of layers', () => {
  it('come in order, so many at once', async () => {
    const { begun, made } = tasks(new LayerTurns(2, 4, NEVER), 4);
    await sleep(20);
    expect(begun).toEqual([0, 1]);
    made[1]!.end();
    expect(await made[1]!.done).toBe(1);
    await sleep(0);
    expect(begun).toEqual([0, 1, 2]);
    for (const { end } of made) end();
    expect(await Promise.all(made.map(({ done }) => done))).toEqual([0, 1, 2, 3]);
  });

  it('come to those who have waited for long although the others go on, up to a bound', async () => {
    const { begun, made } = tasks(new LayerTurns(1, 3, 10), 5);
    for (let tries = 0; begun.length < 3; tries += 1) {
      expect(tries).toBeLessThan(500);
      await sleep(10);
    }
    await sleep(50);
    expect(begun).toEqual([0, 1, 2]);
    made[0]!.end();
    await made[0]!.done;
    await sleep(0);
    expect(begun).toEqual([0, 1, 2, 3]);
    for (const { end } of made) end();
    await Promise.all(made.map(({ done }) => done));
  });

  it('are not waited for by those who are not wanted any more, and not lost with them', async () => {
    const { begun, made } = tasks(new LayerTurns(1, 1, NEVER), 3);
    made[1]!.abort();
    await expect(made[1]!.done).rejects.toThrow('not wanted');
    made[0]!.abort(); // runs: its own end is awaited
    made[0]!.end();
    expect(await made[0]!.done).toBe(0);
    made[2]!.end();
    expect(await made[2]!.done).toBe(2);
    expect(begun).toEqual([0, 2]);
  });

  it('are given back by a task that throws', async () => {
    const turns = new LayerTurns(1, 1, NEVER);
    await expect(turns.run(new AbortController().signal, () => Promise.reject(new Error('damaged')))).rejects.toThrow('damaged');
    expect(await turns.run(new AbortController().signal, () => Promise.resolve('next'))).toBe('next');
  });

  it('are not asked for by what is not wanted to begin with', async () => {
    const turns = new LayerTurns(1, 1, NEVER);
    await expect(turns.run(AbortSignal.abort(new Error('too late')), () => Promise.resolve())).rejects.toThrow('too late');
  });
});
