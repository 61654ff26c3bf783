import { expect, test, vi } from 'vitest';
import { drive, PROGRAM_TIMEOUT_MS } from '../python/python.ts';
import { api, client, SDKS, unique, type Sandbox } from '../sdk/support.ts';

/** The documentation's own flow, by each SDK, against warm and cold sandboxes. */
test.each(SDKS)('%s: volumes are shared, seen by subpath, outlive sandboxes and are not deleted while in use', async (_, sdk) => {
  const daytona = client(sdk);
  const name = unique('volume');
  await expect(daytona.volume.get(name)).rejects.toThrow(sdk.DaytonaNotFoundError);
  const volume = await daytona.volume.get(name, true);
  expect(volume).toMatchObject({ name, state: 'ready' });
  expect((await daytona.volume.get(name)).id).toBe(volume.id);
  await expect(daytona.volume.create(name)).rejects.toThrow(`Volume with name ${name} already exists`);
  expect((await daytona.volume.list()).map(({ id }) => id)).toContain(volume.id);

  const mountPath = '/home/daytona/volume';
  const producer = await daytona.create({ volumes: [{ volumeId: volume.id, mountPath }] });
  await producer.fs.uploadFile(Buffer.from('shared payload'), `${mountPath}/users/alice/payload.bin`);
  await expect(daytona.volume.delete(volume)).rejects.toThrow('in use');
  const consumer = await daytona.create({ snapshot: 'daytona-medium', volumes: [{ volumeId: name, mountPath, subpath: 'users/alice' }, { volumeId: volume.id, mountPath: '/data' }] });
  expect(String(await consumer.fs.downloadFile(`${mountPath}/payload.bin`))).toBe('shared payload');
  expect(consumer.volumes).toEqual([{ volumeId: volume.id, mountPath, subpath: 'users/alice' }, { volumeId: volume.id, mountPath: '/data' }]);
  await producer.process.executeCommand(`mv ${mountPath}/users/alice/payload.bin ${mountPath}/users/alice/moved && echo more >> ${mountPath}/users/alice/moved`);
  expect((await consumer.process.executeCommand(`cat ${mountPath}/moved`)).result).toBe('shared payloadmore\n');
  await consumer.stop();
  await daytona.delete(producer);
  await consumer.start();
  expect((await consumer.process.executeCommand('cat /data/users/alice/moved')).result).toBe('shared payloadmore\n');
  await daytona.delete(consumer);
  await daytona.volume.delete(volume);
  await expect(daytona.create({ volumes: [{ volumeId: volume.id, mountPath }] })).rejects.toThrow(/not ready|not found/);
});

test('a waiting sandbox is given its volumes', async () => {
  const volume = await (await api('/volumes', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name: unique('warm') }) })).json() as { id: string };
  const create = async () => {
    const reply = await api('/sandbox', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ volumes: [{ volumeId: volume.id, mountPath: '/data/deep' }] }) });
    expect(reply.status).toBe(200);
    return { timing: reply.headers.get('server-timing') ?? '', id: ((await reply.json()) as { id: string }).id };
  };
  const remove = (id: string) => api(`/sandbox/${id}`, { method: 'DELETE' });
  // Other tests may have taken what waited.
  let made = await create();
  for (let attempt = 0; !/\badapted\b/.test(made.timing) && attempt < 20; attempt++) {
    await remove(made.id);
    await new Promise((resolve) => setTimeout(resolve, 500));
    made = await create();
  }
  expect(made.timing).toMatch(/\badapted\b/);
  const sandbox = await client(SDKS[0]![1]).get(made.id);
  expect((await sandbox.process.executeCommand('touch /data/deep/f && stat -c "%U %a" /data/deep /data && findmnt -no FSTYPE /data/deep')).result).toBe('root 777\nroot 755\nbtrfs\n');
  await sandbox.delete();
  expect((await api(`/volumes/${volume.id}`, { method: 'DELETE' })).status).toBe(200);
});

test('snapshots and archives leave a volume out, a resize leaves it in, and it is kept from deletion all the while', async () => {
  const daytona = client(SDKS[0]![1]);
  const volume = await daytona.volume.create(unique('apart'));
  const sandbox = await daytona.create({ snapshot: 'daytona-small', volumes: [{ volumeId: volume.id, mountPath: '/data/v' }, { volumeId: volume.id, mountPath: '/data/part', subpath: 'a/b' }] });
  const run = async (of: Sandbox, command: string) => (await of.process.executeCommand(command)).result;
  const stateIs = (path: string, state: string) => vi.waitFor(async () => expect(await (await api(path)).json()).toMatchObject({ state }), { timeout: 60_000, interval: 100 });
  const json = { 'content-type': 'application/json' };
  await run(sandbox, 'echo shared > /data/v/f; echo part > /data/part/g; echo own > own');
  const name = unique('without-volume');
  expect((await api(`/sandbox/${sandbox.id}/snapshot`, { method: 'POST', headers: json, body: JSON.stringify({ name }) })).status).toBe(200);
  await stateIs(`/snapshots/${name}`, 'active');
  const copy = await daytona.create({ snapshot: name });
  expect(await run(copy, 'cat own; find /data -mindepth 1 | sort; findmnt -rno TARGET | grep -c ^/data')).toBe('own\n/data/part\n/data/v\n0\n');
  await copy.delete();
  await sandbox.stop();
  expect((await api(`/volumes/${volume.id}`, { method: 'DELETE' })).status).toBe(409);
  expect((await api(`/sandbox/${sandbox.id}/resize`, { method: 'POST', headers: json, body: JSON.stringify({ disk: 4 }) })).status).toBe(200);
  await sandbox.archive();
  await stateIs(`/sandbox/${sandbox.id}`, 'archived');
  expect((await api(`/volumes/${volume.id}`, { method: 'DELETE' })).status).toBe(409);
  await sandbox.start();
  expect(await run(sandbox, 'cat /data/v/f /data/part/g /data/v/a/b/g own')).toBe('shared\npart\npart\nown\n');
  await sandbox.delete();
  await api(`/snapshots/${name}`, { method: 'DELETE' });
  await daytona.volume.delete(volume);
}, 120_000);

test('what a sandbox planted in a volume leads no other one astray', async () => {
  const daytona = client(SDKS[0]![1]);
  const volume = await daytona.volume.create(unique('planted'));
  const planter = await daytona.create({ volumes: [{ volumeId: volume.id, mountPath: '/data' }] });
  await planter.process.executeCommand('cd /data && ln -s / root && ln -s ../.. up && touch file');
  const refusals = [
    [{ subpath: 'root/etc' }, 'symbolic link'], [{ subpath: 'up' }, 'symbolic link'], [{ subpath: 'file' }, 'not a directory'], [{ mountPath: '/home/daytona/.profile' }, 'not a directory'],
  ] as const;
  for (const [mount, problem] of refusals) {
    const name = unique('refused');
    await expect(daytona.create({ name, volumes: [{ volumeId: volume.id, mountPath: '/data', ...mount }] })).rejects.toThrow(problem);
    await (await daytona.get(name)).delete();
  }
  await planter.delete();
  await daytona.volume.delete(volume);
});

test('the Python SDK, sync and async', async ({ skip }) => {
  const seen = {
    unknown: 'DaytonaNotFoundError', created: [true, 'ready'], again: true, listed: true, in_use: 'DaytonaConflictError', alice: 'shared payload',
    listing: ['payload.bin'], kept: 'shared payloadmore\n', mounts: [['/home/daytona/volume', true]], deleted: true,
  };
  expect(await drive('../volumes/volumes.py', skip)).toEqual({ sync: seen, async: seen });
}, PROGRAM_TIMEOUT_MS);
