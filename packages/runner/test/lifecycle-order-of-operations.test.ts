import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Gate, Lanes } from '../src/lifecycle/lanes.ts';

describe('operations on one sandbox', () => {
  it('run one after another, also after a failure', async () => {
    const lanes = new Lanes();
    const log: string[] = [];
    const step = (name: string, fails = false) => async () => {
      log.push(`${name} begins`);
      await sleep(5);
      log.push(`${name} ends`);
      if (fails) throw new Error(name);
    };
    await Promise.allSettled([lanes.run('a', '1', step('1', true)), lanes.run('a', '2', step('2'))]);
    expect(log).toEqual(['1 begins', '1 ends', '2 begins', '2 ends']);
  });

  it('are shared when the latest one asks for the same', async () => {
    const lanes = new Lanes();
    let runs = 0;
    const task = async () => {
      await sleep(5);
      return ++runs;
    };
    expect(await Promise.all([lanes.run('a', 'put', task), lanes.run('a', 'put', task)])).toEqual([1, 1]);
    expect(await lanes.run('a', 'put', task)).toBe(2);
  });

  it('are not shared across another one', async () => {
    const lanes = new Lanes();
    let runs = 0;
    const count = async () => void runs++;
    await Promise.all([lanes.run('a', 'put', count), lanes.run('a', 'stop', async () => {}), lanes.run('a', 'put', count)]);
    expect(runs).toBe(2);
  });

  it('do not wait for those on another sandbox', async () => {
    const lanes = new Lanes();
    let release = (): void => {};
    const held = lanes.run('a', 'x', () => new Promise<void>((resolve) => { release = resolve; }));
    await lanes.run('b', 'x', async () => {});
    release();
    await held;
    await lanes.idle();
  });
});

describe('a gate', () => {
  it('lets only so many through at a time, in order', async () => {
    const gate = new Gate(2);
    let inside = 0;
    let most = 0;
    const order: number[] = [];
    await Promise.all([0, 1, 2, 3, 4].map((n) => gate.run(async () => {
      order.push(n);
      most = Math.max(most, ++inside);
      await sleep(2);
      inside--;
    })));
    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });
});
