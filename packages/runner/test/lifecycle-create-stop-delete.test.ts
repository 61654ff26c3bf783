import { existsSync, readFileSync } from 'node:fs';
import { sandboxRunDir, toolboxSocket } from '@paddock/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, specOf, traces, type TestRunner } from './support.ts';

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner.destroy());

describe('a sandbox', () => {
  it('runs, stops, keeps its disk, starts again and goes without a trace', async () => {
    const spec = await runner.create({ env: { GREETING: 'hello' } });
    expect(await runner.output(spec.id, 'echo $GREETING; id -un; hostname; echo kept > ~/file')).toBe(`hello\ndaytona\n${spec.id}`);
    expect(await runner.get(spec.id)).toEqual({ id: spec.id, state: 'started' });

    const stop = await runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`);
    expect(stop).toEqual({ status: 200, body: { id: spec.id, state: 'stopped' } });
    expect(existsSync(toolboxSocket(runner.layout, spec.id))).toBe(false);

    expect((await runner.put({ ...spec, env: { GREETING: 'again' }, token: 'second' })).status).toBe(200);
    expect(await runner.output(spec.id, 'cat ~/file; echo $GREETING')).toBe('kept\nagain');

    await runner.remove(spec.id);
    await runner.remove(spec.id);
    expect((await runner.ask('GET', `/v1/sandboxes/${spec.id}`)).status).toBe(404);
    expect(existsSync(sandboxRunDir(runner.layout, spec.id))).toBe(false);
    expect(traces(runner.layout).filter((line) => line.includes(spec.id))).toEqual([]);
  });

  it('is started once by requests that ask for the same', async () => {
    const spec = specOf();
    const answers = await Promise.all([runner.put(spec), runner.put(spec), runner.put(spec)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const pid = runner.initPid(spec.id);
    const again = await runner.put(spec);
    expect(again.body.state).toBe('started');
    expect(again.body.toolboxVersion).not.toBe('');
    expect(runner.initPid(spec.id)).toBe(pid);
    await runner.remove(spec.id);
  });

  it('can be deleted while it starts, and stopped at once by force', async () => {
    const spec = specOf();
    const [put] = await Promise.all([runner.put(spec), runner.remove(spec.id)]);
    expect([200, 502]).toContain(put.status);
    expect((await runner.ask('GET', `/v1/sandboxes/${spec.id}`)).status).toBe(404);

    const other = await runner.create();
    const since = performance.now();
    expect((await runner.ask('POST', `/v1/sandboxes/${other.id}/stop`, { force: true })).status).toBe(200);
    expect(performance.now() - since).toBeLessThan(2_000);
    await runner.remove(other.id);
  });

  it('runs as another user of the image when asked to', async () => {
    const spec = await runner.create({ user: 'root' });
    expect(await runner.output(spec.id, 'id -u; echo $HOME')).toBe('0\n/root');
    await runner.remove(spec.id);
  });

  it('starts the entrypoint', async () => {
    const spec = await runner.create({ entrypoint: ['sh', '-c', 'echo from-entrypoint > /tmp/mark'] });
    await expect.poll(() => runner.output(spec.id, 'cat /tmp/mark')).toBe('from-entrypoint');
    await runner.remove(spec.id);
  });

  it('shows its token and variables in no argument list and no environment of pid 1', async () => {
    const spec = await runner.create({ token: 'very-secret-token', env: { MY_SECRET: 'very-secret-value' } });
    const pid = runner.initPid(spec.id);
    for (const file of ['environ', 'cmdline']) {
      expect(readFileSync(`/proc/${pid}/${file}`, 'utf8')).not.toContain('very-secret');
      expect(readFileSync(`/proc/${runner.pid}/${file}`, 'utf8')).not.toContain('very-secret');
    }
    expect(runner.log.join('\n')).not.toContain('very-secret');
    expect(readFileSync(`${sandboxRunDir(runner.layout, spec.id)}/config.json`, 'utf8')).not.toContain('very-secret');
    await runner.remove(spec.id);
  });
});

describe('what cannot be done', () => {
  it.each([
    ['an unknown image', specOf({ image: 'no-such' }), 404, 'IMAGE_NOT_FOUND'],
    ['an unknown user', specOf({ user: 'nobody-here' }), 400, 'INVALID_SPEC'],
    ['a user named like a property', specOf({ user: 'constructor' }), 400, 'INVALID_SPEC'],
    ['no memory', specOf({ memoryGiB: 0 }), 400, 'INVALID_SPEC'],
  ])('%s is refused', async (_, spec, status, code) => {
    const answer = await runner.put(spec);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect((await runner.ask('GET', `/v1/sandboxes/${spec.id}`)).status).toBe(404);
  });

  it('names the users there are', async () => {
    expect((await runner.put(specOf({ user: 'x' }))).body.message).toContain('daytona');
  });

  it.each([
    ['GET', '/v1/sandboxes/nope', 400], ['GET', `/v1/sandboxes/${specOf().id}`, 404], ['POST', `/v1/sandboxes/${specOf().id}/stop`, 404],
    ['PATCH', `/v1/sandboxes/${specOf().id}`, 404], ['DELETE', `/v1/sandboxes/${specOf().id}`, 204], ['DELETE', '/v1/sandboxes/..%2f..%2fetc', 400],
    ['GET', '/v1/else', 404], ['POST', '/v1/info', 405],
  ])('%s %s answers %i', async (method, path, status) => {
    expect((await runner.ask(method, path, method === 'PATCH' ? {} : undefined)).status).toBe(status);
  });

  it('too little memory for the toolbox ends in a clear error with nothing left', async () => {
    const spec = specOf({ memoryGiB: 0.005 });
    const since = performance.now();
    const answer = await runner.put(spec);
    expect([answer.status, answer.body.code]).toEqual([502, 'START_FAILED']);
    expect(answer.body.message).toContain('lack of memory');
    expect(performance.now() - since).toBeLessThan(15_000);
    expect(traces(runner.layout).filter((line) => line.includes(spec.id))).toEqual([]);
  });
});

describe('the runner', () => {
  it('tells what it is and has', async () => {
    const { body } = await runner.ask<Record<string, number>>('GET', '/v1/info');
    expect(body['cpus']).toBeGreaterThan(0);
    expect(body['diskGiB']).toBeGreaterThan(1);
  });
});
