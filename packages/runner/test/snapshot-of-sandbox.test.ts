import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunnerImage } from '@paddock/contract';
import { parseCgroupMounts } from '../src/engine/cgroups.ts';
import { bootRunner, type TestRunner } from './support.ts';

let runner: TestRunner;

beforeAll(async () => {
  runner = await bootRunner();
});

afterAll(async () => {
  await runner?.destroy();
});

async function snapshot(name: string, sandboxId: string): Promise<RunnerImage> {
  const { status, body } = await runner.ask<RunnerImage>('PUT', `/v1/images/${name}`, { kind: 'sandbox', sandboxId });
  expect(status, JSON.stringify(body)).toBe(202);
  const settled = (event: { type: string; image?: RunnerImage }): boolean => event.type === 'image' && event.image?.name === name && event.image.state !== 'preparing';
  const event = await runner.event(settled as never, 30_000) as unknown as { image: RunnerImage };
  return event.image;
}

describe('an image of a sandbox', () => {
  it('holds the files of a live sandbox, also those its processes have not written back, and gives each new sandbox its own copy', async () => {
    const source = await runner.create({ user: 'root' });
    await runner.output(source.id, 'mkdir ~/kept && head -c 20000000 /dev/urandom > ~/kept/data && sha256sum ~/kept/data > ~/kept/sum && rm /usr/bin/yes && mv /etc/debian_version /etc/moved');
    expect(await snapshot('sandbox-live', source.id)).toMatchObject({ state: 'ready' });
    await runner.output(source.id, 'rm -r ~/kept');
    const [a, b] = await Promise.all([runner.create({ image: 'sandbox-live', user: 'root' }), runner.create({ image: 'sandbox-live', user: 'root' })]);
    for (const { id } of [a, b]) {
      expect(await runner.output(id, 'sha256sum --check --status ~/kept/sum && echo same; ls /usr/bin/yes /etc/debian_version 2>&1 | grep -c "No such"; ls /etc/moved')).toBe('same\n2\n/etc/moved');
    }
    await runner.output(a.id, 'echo a > ~/kept/own');
    expect(await runner.output(b.id, 'ls ~/kept')).not.toContain('own');
    // No file of the disk has the number of a file of a layer.
    expect(await runner.output(b.id, 'cp -a ~/kept ~/copy && mv ~/copy/data /tmp/moved && cp /etc/passwd /tmp/passwd && cmp /etc/passwd /tmp/passwd && echo ok')).toBe('ok');
    for (const { id } of [source, a, b]) await runner.remove(id);
  });

  it('of a sandbox made from an image of a sandbox holds both, and stays when source and first image are gone', async () => {
    const first = await runner.create();
    await runner.output(first.id, 'echo one > ~/one');
    await snapshot('sandbox-first', first.id);
    const second = await runner.create({ image: 'sandbox-first' });
    await runner.output(second.id, 'echo two > ~/two');
    await runner.ask('POST', `/v1/sandboxes/${second.id}/stop`, {});
    expect(await snapshot('sandbox-second', second.id)).toMatchObject({ state: 'ready' });
    for (const { id } of [first, second]) await runner.remove(id);
    await runner.ask('DELETE', '/v1/images/sandbox-first');
    expect(existsSync(join(runner.layout.dataDir, 'pool/templates/sandbox-first'))).toBe(false);
    const third = await runner.create({ image: 'sandbox-second' });
    expect(await runner.output(third.id, 'cat ~/one ~/two')).toBe('one\ntwo');
    await runner.ask('DELETE', '/v1/images/sandbox-second');
    // A stopped one starts again though its image is deleted for all others.
    await runner.ask('POST', `/v1/sandboxes/${third.id}/stop`, {});
    expect((await runner.put(third)).status).toBe(200);
    expect(await runner.output(third.id, 'cat ~/one')).toBe('one');
    await runner.remove(third.id);
  });

  it('holds no environment, token or file of the host', async () => {
    const secret = 'oiphe4Eiw9aiQu2';
    const source = await runner.create({ env: { API_SECRET: secret }, token: `token${secret}` });
    await runner.output(source.id, 'echo $API_SECRET | wc -c; touch ~/f');
    await snapshot('sandbox-secret', source.id);
    const pool = join(runner.layout.dataDir, 'pool');
    // The command name of grep is looked at by nobody: 1 means nothing was found. Its namespace is the runner's, which has the pool.
    const found = inRunner(`grep --recursive --binary --files-with-matches --devices=skip ${secret} ${pool}/templates ${pool}/images; echo status $?`);
    expect(found.trim()).toBe('status 1');
    const record = inRunner(`cat ${pool}/images/sandbox-secret.json`);
    expect(JSON.parse(record)).not.toHaveProperty('config.env.API_SECRET');
    expect(await runner.output(source.id, 'echo $API_SECRET')).toBe(secret);
    await runner.remove(source.id);
  });

  it('of a sandbox that is not there fails in words', async () => {
    expect(await snapshot('sandbox-none', '11111111-1111-4111-8111-111111111111')).toMatchObject({ state: 'failed', reason: expect.stringContaining('There is no sandbox') });
  });

  it('lets a sandbox go on that a killed runner left standing still', async () => {
    const { id } = await runner.create();
    const mounts = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
    const v1 = mounts.find((mount) => mount.controllers.includes('freezer'));
    const [dir, file, value] = v1 === undefined
      ? [mounts.find((mount) => mount.type === 'cgroup2')!.path, 'cgroup.freeze', '1'] : [v1.path, 'freezer.state', 'FROZEN'];
    writeFileSync(join(dir, runner.layout.cgroup, id, file), value);
    await runner.kill9();
    await runner.start();
    expect(await runner.output(id, 'echo alive')).toBe('alive');
    // And one that stands still can be deleted.
    writeFileSync(join(dir, runner.layout.cgroup, id, file), value);
    await runner.remove(id);
  });

  it('of a busy sandbox stands on its own: what was written before is there, in order', async () => {
    const { id } = await runner.create();
    await runner.ask('GET', `/v1/sandboxes/${id}`);
    await runner.output(id, "nohup sh -c 'i=0; while :; do i=$((i+1)); echo $i > ~/t; mv ~/t ~/a; echo $i > ~/t; mv ~/t ~/b; done' >/dev/null 2>&1 & sleep 0.3");
    await snapshot('sandbox-busy', id);
    const before = Number(await runner.output(id, 'cat ~/a'));
    const copy = await runner.create({ image: 'sandbox-busy' });
    const [a, b] = (await runner.output(copy.id, 'cat ~/a ~/b')).split('\n').map(Number) as [number, number];
    expect(a === b || a === b + 1).toBe(true);
    expect(a).toBeGreaterThan(0);
    expect(Number(await runner.output(id, 'cat ~/b'))).toBeGreaterThan(Math.min(before, a));
    for (const one of [id, copy.id]) await runner.remove(one);
  });
});

function inRunner(command: string): string {
  return execFileSync('nsenter', ['--target', String(runner.pid), '--mount', '--', 'sh', '-c', command], { encoding: 'utf8' });
}
