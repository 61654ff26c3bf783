import { spawn } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import { describeStatus, ExitWatch } from '../src/engine/exit-watch.ts';

const exits = new ExitWatch();
afterAll(() => exits.close());

/** A process that is not a child of this one, as a sandbox's init is not. */
async function stranger(script: string): Promise<number> {
  const parent = spawn('sh', ['-c', `sh -c '${script}' >/dev/null 2>&1 & echo $!; exec sleep 2`], { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve) => parent.stdout.once('data', (data: Buffer) => resolve(Number(data))));
}

describe('watching a process that is no child', () => {
  it('tells its end and status within a second', async () => {
    const pid = await stranger('sleep 0.3; exit 7');
    const since = performance.now();
    const status = await exits.watch(pid)!.ended;
    expect(performance.now() - since).toBeLessThan(1_300);
    expect(describeStatus(status)).toBe('status 7');
  });

  it('signals it, and says when there is nobody left to signal', async () => {
    const pid = await stranger('exec sleep 10');
    const watched = exits.watch(pid)!;
    expect(watched.signal(9)).toBe(true);
    expect(describeStatus(await watched.ended)).toBe('signal 9');
    expect(watched.signal(9)).toBe(false);
  });

  it('watches many at a time', async () => {
    const pids = await Promise.all(Array.from({ length: 100 }, () => stranger('sleep 0.5')));
    await Promise.all(pids.map((pid) => exits.watch(pid)!.ended));
  });

  it('knows no process that does not exist', () => {
    expect(exits.watch(0x3fffff)).toBeNull();
  });
});
