import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, traces, type TestRunner } from './support.ts';

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner.destroy());

const exitOf = (id: string) => runner.event((event) => event.type === 'sandbox.exited' && event.id === id);

describe('a sandbox whose init ends', () => {
  it.each([
    ['killed from the host', async (id: string) => void process.kill(runner.initPid(id), 'SIGKILL')],
    ['told to stop from inside', async (id: string) => void runner.exec(id, 'sudo kill -TERM 1').catch(() => {})],
  ])('%s is stopped within a second, with a reason, and cleaned up', async (_, end) => {
    const spec = await runner.create();
    const since = performance.now();
    await end(spec.id);
    const event = await exitOf(spec.id);
    expect(event.at - since).toBeLessThan(1_000);
    const state = await runner.get(spec.id);
    expect(state.state).toBe('stopped');
    expect(state.reason).toContain('first process ended');
    expect(traces(runner.layout).filter((line) => line.includes(spec.id))).toEqual([]);
    expect((await runner.put(spec)).status).toBe(200);
    expect((await runner.get(spec.id)).reason).toBeUndefined();
    await runner.remove(spec.id);
  });

  it('by its own request to power off is stopped too', async () => {
    const spec = await runner.create();
    void runner.exec(spec.id, 'sudo python3 -c "import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)"').catch(() => {});
    await exitOf(spec.id);
    expect((await runner.get(spec.id)).state).toBe('stopped');
    await runner.remove(spec.id);
  });

  it('is not reported when somebody asked for it', async () => {
    const spec = await runner.create();
    await runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`, { force: true });
    await runner.remove(spec.id);
    expect(runner.events.filter((event) => event.type === 'sandbox.exited' && event.id === spec.id)).toEqual([]);
  });
});

describe('a toolbox that dies', () => {
  it('is started again on the same socket, with the same environment, and the sandbox lives on', async () => {
    const spec = await runner.create({ env: { A: 'kept' } });
    const pid = runner.initPid(spec.id);
    for (let round = 0; round < 3; round++) {
      await runner.exec(spec.id, 'sudo pkill -KILL -f ^/usr/lib/paddock/lib/ld.so').catch(() => {});
      expect(await runner.output(spec.id, 'echo $A')).toBe('kept');
    }
    expect(runner.initPid(spec.id)).toBe(pid);
    expect((await runner.get(spec.id)).state).toBe('started');
    await runner.remove(spec.id);
  });

  it('does not take the programs it started with it', async () => {
    const spec = await runner.create();
    await runner.exec(spec.id, 'setsid sleep 1000 > /dev/null 2>&1 &');
    await runner.exec(spec.id, 'sudo pkill -KILL -f ^/usr/lib/paddock/lib/ld.so').catch(() => {});
    expect(await runner.output(spec.id, 'pgrep -x sleep | wc -l')).toBe('1');
    await runner.remove(spec.id);
  });
});
