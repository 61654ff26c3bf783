import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, specOf, traces, type TestRunner } from './support.ts';

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner.destroy());

async function killAndRestart(): Promise<void> {
  await runner.kill9();
  await runner.start();
}

describe('sandboxes of a runner that was killed', () => {
  it('go on running and are adopted', async () => {
    const specs = await Promise.all([runner.create({ env: { A: '1' } }), runner.create()]);
    await runner.exec(specs[0]!.id, 'setsid sleep 1000 > /dev/null 2>&1 &');
    await killAndRestart();
    for (const { id } of specs) expect((await runner.get(id)).state).toBe('started');
    expect(await runner.output(specs[0]!.id, 'echo $A; pgrep -x sleep | wc -l')).toBe('1\n1');

    // The new runner watches, changes, stops and deletes what the old one started.
    expect((await runner.ask('PATCH', `/v1/sandboxes/${specs[0]!.id}`, { env: { A: '2' } })).status).toBe(200);
    expect(await runner.output(specs[0]!.id, 'echo $A')).toBe('2');
    process.kill(runner.initPid(specs[1]!.id), 'SIGKILL');
    await runner.event((event) => event.type === 'sandbox.exited' && event.id === specs[1]!.id);
    for (const { id } of specs) await runner.remove(id);
    expect(traces(runner.layout).filter((line) => specs.some(({ id }) => line.includes(id)))).toEqual([]);
  });

  it('that ended meanwhile are stopped, with their disk', async () => {
    const spec = await runner.create();
    await runner.output(spec.id, 'echo kept > ~/file; sync');
    const pid = runner.initPid(spec.id);
    await runner.kill9();
    process.kill(pid, 'SIGKILL');
    await runner.start();
    const state = await runner.get(spec.id);
    expect(state.state).toBe('stopped');
    expect(state.reason).toContain('while the runner was away');
    expect((await runner.put(spec)).status).toBe(200);
    expect(await runner.output(spec.id, 'cat ~/file')).toBe('kept');
    await runner.remove(spec.id);
  });

  it.each([1, 3, 6, 10, 15, 20, 25, 30, 40, 50, 60, 80])('%i ms into a create are either running or gone, and a repeated create works', async (delayMs) => {
    const spec = specOf();
    const put = runner.put(spec).catch(() => null);
    await sleep(delayMs);
    await runner.kill9();
    await put;
    await runner.start();
    const states = (await runner.list()).filter(({ id }) => id === spec.id).map(({ state }) => state);
    expect([[], ['started']]).toContainEqual(states);
    if (states.length === 0) expect(traces(runner.layout).filter((line) => line.includes(spec.id))).toEqual([]);
    expect((await runner.put(spec)).status).toBe(200);
    expect(await runner.output(spec.id, 'echo alive')).toBe('alive');
    await runner.remove(spec.id);
  });

  it.each([1, 4, 8, 15])('%i ms into a delete are gone after another one', async (delayMs) => {
    const spec = await runner.create();
    const removal = runner.remove(spec.id).catch(() => null);
    await sleep(delayMs);
    await runner.kill9();
    await removal;
    await runner.start();
    await runner.remove(spec.id);
    expect(await runner.list()).toEqual([]);
    expect(traces(runner.layout).filter((line) => line.includes(spec.id))).toEqual([]);
  });

  it.each([1, 5, 10])('%i ms into a stop are stopped', async (delayMs) => {
    const spec = await runner.create();
    const stop = runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`).catch(() => null);
    await sleep(delayMs);
    await runner.kill9();
    await stop;
    await runner.start();
    expect((await runner.ask<{ state: string }>('POST', `/v1/sandboxes/${spec.id}/stop`)).body.state).toBe('stopped');
    await runner.remove(spec.id);
  });

  it('survive a graceful restart as well', async () => {
    const spec = await runner.create();
    await runner.stop();
    await runner.start();
    expect(await runner.output(spec.id, 'echo alive')).toBe('alive');
    await runner.remove(spec.id);
  });
});
