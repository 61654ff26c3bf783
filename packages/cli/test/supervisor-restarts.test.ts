import { spawn } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import { KeptAlive, type Run } from '../src/supervisor/kept-alive.ts';
import { Refused } from '../src/supervisor/kept-alive.ts';

const kept: KeptAlive[] = [];
afterEach(async () => {
  await Promise.all(kept.splice(0).map((one) => one.stop()));
});

/** A real process; it serves as soon as it runs, or never when it ends by itself. */
function shell(script: string, serves = true): Run {
  const child = spawn('sh', ['-c', script], { stdio: 'ignore' });
  const exited = new Promise<string>((resolve) => child.once('exit', (code, signal) => resolve(signal ?? `exit status ${code}`)));
  return {
    pid: child.pid ?? 0,
    exited,
    ready: serves ? Promise.resolve() : exited.then((reason) => Promise.reject(new Error(reason))),
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
    kill: () => void child.kill('SIGKILL'),
  };
}

interface Seen {
  readonly what: string;
  readonly pid: number;
}

function keep(launch: () => Run | Promise<Run>): { part: KeptAlive; seen: Seen[]; until: (what: string, times: number) => Promise<void> } {
  const seen: Seen[] = [];
  let wake = () => {};
  const part = new KeptAlive({
    name: 'part',
    launch,
    delaysMs: [0, 10, 10],
    onChange: (event) => {
      seen.push(event);
      wake();
    },
  });
  kept.push(part);
  const until = async (what: string, times: number) => {
    while (seen.filter((one) => one.what === what).length < times) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { part, seen, until };
}

describe('a supervised part', () => {
  test('is started again whenever it is killed', async () => {
    const { part, seen, until } = keep(() => shell('sleep 60'));
    await part.start();
    for (let round = 1; round <= 3; round++) {
      process.kill(part.pid ?? 0, 'SIGKILL');
      await until('ready', round + 1);
    }
    expect(new Set(seen.filter((one) => one.what === 'ready').map((one) => one.pid)).size).toBe(4);
  });

  test('is started again when it ends by itself, without having failed', async () => {
    const { part, until } = keep(() => shell('exit 0'));
    await part.start();
    await until('ready', 3);
  });

  test('that never served is given up, with its reason', async () => {
    let starts = 0;
    const { part } = keep(() => {
      starts += 1;
      return shell('exit 3', false);
    });
    await expect(part.start()).rejects.toThrow('part does not start: exit status 3');
    expect(starts).toBe(3);
  });

  test('that cannot even be launched is given up', async () => {
    const { part } = keep(() => Promise.reject(new Error('no such program')));
    await expect(part.start()).rejects.toThrow('no such program');
  });

  test('that refuses is not tried a second time', async () => {
    let starts = 0;
    const { part } = keep(() => {
      starts += 1;
      return { ...shell('exit 1'), ready: Promise.reject(new Refused('the port is taken')) };
    });
    await expect(part.start()).rejects.toThrow('the port is taken');
    expect(starts).toBe(1);
  });

  test('that once served is never given up', async () => {
    let starts = 0;
    const { part, until } = keep(() => {
      starts += 1;
      return starts === 1 || starts > 6 ? shell('sleep 60') : shell('exit 1', false);
    });
    await part.start();
    process.kill(part.pid ?? 0, 'SIGKILL');
    await until('ready', 2);
    expect(starts).toBe(7);
  });

  test('stays down once it is stopped', async () => {
    const { part, seen } = keep(() => shell('sleep 60'));
    await part.start();
    const { pid } = part;
    await part.stop();
    expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH');
    expect(seen.filter((one) => one.what === 'started')).toHaveLength(1);
  });
});
