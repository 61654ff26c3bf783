import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, utimesSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunnerImage } from '@paddock/contract';
import { ORGANIZATION, build, logOf, sourceOf } from './builds-support.ts';
import { bootRunner, type TestRunner } from './support.ts';

describe('a build that is interrupted', () => {
  let runner: TestRunner;

  beforeAll(async () => {
    runner = await bootRunner();
    await build(runner, sourceOf('FROM paddock/slim')); // has the builder made
  });
  afterAll(() => runner?.destroy());

  const begin = async (name: string, dockerfile: string, over = {}): Promise<void> => {
    expect((await runner.ask('PUT', `/v1/images/${name}`, sourceOf(dockerfile, over))).status).toBe(202);
    await logOf(runner, name, (text) => text.includes('\nbegun\n'));
  };
  const slow = 'FROM paddock/slim\nRUN cat /proc/sys/kernel/random/uuid\nRUN echo begun; exec sleep 600.125';
  const pool = (): string => `/proc/${runner.pid}/root${runner.layout.dataDir}/pool`;
  /** Programs of builds that run on this machine, by their odd argument. */
  const sleeping = (): number => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid) === 'sleep\x00600.125\x00').length;

  it('by a deletion ends at once, leaves nothing running, and the next of the organization begins', async () => {
    await begin('build-cancelled', slow);
    expect(sleeping()).toBe(1);
    const next = build(runner, sourceOf('FROM paddock/slim\nRUN echo next'));
    const { status } = await runner.ask('DELETE', '/v1/images/build-cancelled');
    expect(status).toBe(204);
    expect(sleeping()).toBe(0);
    expect((await runner.ask('GET', '/v1/images/build-cancelled')).status).toBe(404);
    expect((await next).image.state).toBe('ready');
    expect(existsSync(`${pool()}/layers/.builds/build-cancelled`)).toBe(false);
  });

  it('while it waits for its turn is out of the queue', async () => {
    await begin('build-first', slow);
    expect((await runner.ask('PUT', '/v1/images/build-waiting', sourceOf('FROM paddock/slim\nRUN echo waited'))).status).toBe(202);
    expect((await runner.ask('DELETE', '/v1/images/build-waiting')).status).toBe(204);
    const other = await build(runner, sourceOf('FROM paddock/slim\nRUN echo other', { organizationId: randomUUID() }));
    expect(other.image.state).toBe('ready');
    expect((await runner.ask('DELETE', '/v1/images/build-first')).status).toBe(204);
  });

  it('twice the same is built once', async () => {
    const once = 'FROM paddock/slim\nRUN cat /proc/sys/kernel/random/uuid >/id';
    const [first, second] = await Promise.all([build(runner, sourceOf(once), 'build-twice'), build(runner, sourceOf(once), 'build-twice')]);
    expect(first.image).toEqual(second.image);
    expect(first.image.state).toBe('ready');
    expect(runner.log.filter((line) => line.includes('"image made"') && line.includes('build-twice'))).toHaveLength(1);
  });

  it('by the death of the runner leaves nothing running, keeps its cache, and can be asked for again', async () => {
    const again = 'FROM paddock/slim\nRUN cat /proc/sys/kernel/random/uuid >/kept; echo made once\nRUN if [ -e /once ]; then true; fi; [ $(date +%s) -gt UNTIL ] || { echo begun; exec sleep 600.125; }';
    const until = Math.ceil(Date.now() / 1000) + 8;
    const dockerfile = again.replace('UNTIL', String(until));
    await begin('build-killed', dockerfile);
    await runner.kill9();
    await runner.start();
    await runner.ready();
    expect(sleeping()).toBe(0);
    expect((await runner.list()).filter(({ id }) => id.startsWith('build-'))).toEqual([]);
    expect((await runner.ask('GET', '/v1/images/build-killed')).status).toBe(404);
    expect(readdirSync(`${pool()}/layers/.builds`)).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, (until + 1) * 1_000 - Date.now()));
    const { image, log } = await build(runner, sourceOf(dockerfile), 'build-killed');
    expect(image, log).toMatchObject({ state: 'ready' });
    expect(log).not.toContain('\nmade once\n');
  });

  it('by a stop of the runner ends, too', async () => {
    await begin('build-stopped', slow);
    await runner.stop();
    expect(sleeping()).toBe(0);
    await runner.start();
    await runner.ready();
    expect((await runner.ask<RunnerImage>('GET', '/v1/images/build-stopped')).status).toBe(404);
  });

  it('leaves one disk for each organization, its cache, which goes when it was not used for a week', async () => {
    expect(readdirSync(`${pool()}/disks`).filter((id) => id.includes(ORGANIZATION))).toEqual([`build-${ORGANIZATION}`]);
    const eightDaysAgo = new Date(Date.now() - 8 * 86_400_000);
    utimesSync(`${pool()}/disks/build-${ORGANIZATION}`, eightDaysAgo, eightDaysAgo);
    await runner.stop();
    await runner.start();
    expect(readdirSync(`${pool()}/disks`).filter((id) => id.includes(ORGANIZATION))).toEqual([]);
    await runner.ready();
  });
});

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
}
