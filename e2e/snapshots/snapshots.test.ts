import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Image } from '@daytona/sdk';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { api, client, SDKS, unique, type Sandbox } from '../sdk/support.ts';
import { Mirror } from './mirror.ts';

/** Snapshots through the SDKs: made, listed, used, put to sleep, woken, deleted. */
const mirror = new Mirror();
let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'paddock-snapshots-'));
  await mirror.start();
  await mirror.publish('library/python:3.12-slim', { User: 'daytona', WorkingDir: '/home/daytona' });
});
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await mirror.stop();
});

const run = async (sandbox: Sandbox, command: string) => (await sandbox.process.executeCommand(command)).result.trim();

describe.each(SDKS)('%s', (_, sdk) => {
  test('of an image in a registry: pulled, used, deactivated, activated by name, deleted', async () => {
    const daytona = client(sdk);
    const name = unique('team/pulled:v');
    const logs: string[] = [];
    const snapshot = await daytona.snapshot.create({ name, image: 'python:3.12-slim', resources: { cpu: 2, memory: 2, disk: 4 } }, { onLogs: (line) => logs.push(line), timeout: 300 });
    expect(snapshot).toMatchObject({ name, imageName: 'python:3.12-slim', state: 'active', cpu: 2, mem: 2, disk: 4, errorReason: null });
    expect(snapshot.size).toBeGreaterThan(0.1);
    expect(logs.at(-1)).toBe(`Created snapshot ${name} (active)`);
    expect((await daytona.snapshot.get(name)).id).toBe(snapshot.id);
    expect((await daytona.snapshot.list({ page: 1, limit: 100 })).items.map((item) => item.name)).toContain(name);

    const sandbox = await daytona.create({ snapshot: name });
    expect(sandbox).toMatchObject({ state: 'started', snapshot: name, cpu: 2, memory: 2, disk: 4, user: 'daytona' });
    expect(await run(sandbox, 'python3 -c "print(6 * 7)"; id -un; pwd')).toBe('42\ndaytona\n/home/daytona');

    expect((await api(`/snapshots/${encodeURIComponent(name)}/deactivate`, { method: 'POST' })).status).toBe(204);
    await expect(daytona.create({ snapshot: name })).rejects.toThrow(`Snapshot ${name} is inactive`);
    expect(await run(sandbox, 'echo still here')).toBe('still here');
    await sandbox.stop();
    await sandbox.start();
    expect(await run(sandbox, 'echo and again')).toBe('and again');
    expect((await daytona.snapshot.activate(name)).state).toBe('pending');
    await expect.poll(async () => (await daytona.snapshot.get(name)).state, { timeout: 60_000 }).toBe('active');

    await daytona.snapshot.delete(snapshot);
    await expect(daytona.snapshot.get(name)).rejects.toThrow(sdk.DaytonaNotFoundError);
    await expect(daytona.create({ snapshot: name })).rejects.toThrow('not found');
    expect(await run(sandbox, 'echo unaffected')).toBe('unaffected');
    await sandbox.delete();
  }, 300_000);

  test('of a declarative image, with its log; a second one of the same is there at once', async () => {
    const daytona = client(sdk);
    writeFileSync(join(dir, 'note.txt'), unique('note'));
    const image = sdk.Image.base('python:3.12-slim').addLocalFile(join(dir, 'note.txt'), '/note.txt').runCommands('cat /note.txt').env({ WHO: 'me' });
    const logs: string[] = [];
    const [one, two] = [unique('built'), unique('built')];
    const snapshot = await daytona.snapshot.create({ name: one, image }, { onLogs: (line) => logs.push(line), timeout: 300 });
    expect(snapshot).toMatchObject({ state: 'active', buildInfo: { dockerfileContent: image.dockerfile } });
    expect(logs.join('\n')).toMatch(/cat \/note\.txt/);
    expect((await daytona.snapshot.create({ name: two, image })).state).toBe('active');
    const sandbox = await daytona.create({ snapshot: two });
    expect(await run(sandbox, 'wc -c < /note.txt; echo $WHO')).toMatch(/^\d+\nme$/);
    await sandbox.delete();
    for (const name of [one, two]) await daytona.snapshot.delete(await daytona.snapshot.get(name));
  }, 300_000);
});

const [[, sdk]] = SDKS as [(typeof SDKS)[0]];
const daytona = client(sdk);

test('a build that fails: the error names the step, the snapshot stays as build_failed with its log', async () => {
  const name = unique('failing');
  const logs: string[] = [];
  const made = daytona.snapshot.create({ name, image: Image.base('python:3.12-slim').runCommands('echo famous last words; false') }, { onLogs: (line) => logs.push(line), timeout: 300 });
  await expect(made).rejects.toThrow(/Reason: .*famous last words/s);
  expect(logs.join('\n')).toContain('famous last words');
  const snapshot = await daytona.snapshot.get(name);
  expect(snapshot.state).toBe('build_failed');
  const log = await api(`/snapshots/${snapshot.id}/build-logs?follow=true`);
  expect([log.status, log.headers.get('content-type')]).toEqual([200, 'application/octet-stream']);
  expect(await log.text()).toContain('famous last words');
  const { url } = (await (await api(`/snapshots/${snapshot.id}/build-logs-url`)).json()) as { url: string };
  expect(await (await fetch(`${url}?follow=true`)).text()).toContain('famous last words');
  await daytona.snapshot.delete(snapshot);
}, 300_000);

test('deleting a snapshot while it is built ends the build', async () => {
  const name = unique('cancelled');
  const making = daytona.snapshot.create({ name, image: Image.base('python:3.12-slim').runCommands('sleep 600') }, { timeout: 300 }).catch((error: Error) => error);
  await expect.poll(async () => (await api(`/snapshots/${name}`)).status, { timeout: 30_000 }).toBe(200);
  const following = api(`/snapshots/${name}/build-logs?follow=true`).then((log) => log.text());
  await expect.poll(async () => (await (await api(`/snapshots/${name}/build-logs`)).text()).includes('sleep 600'), { timeout: 60_000 }).toBe(true);
  expect((await api(`/snapshots/${name}`, { method: 'DELETE' })).status).toBe(200);
  expect(await making).toBeInstanceOf(sdk.DaytonaNotFoundError);
  await following;
}, 300_000);

test('an image that its registry does not have is an error with a reason', async () => {
  const image = `localhost:${inject('mirrorPort')}/nobody/nothing:1.0`;
  await expect(daytona.snapshot.create({ name: unique('missing'), image })).rejects.toThrow(/Reason: .*nobody\/nothing/);
}, 120_000);
