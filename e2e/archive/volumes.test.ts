import { expect, test } from 'vitest';
import { client, SDKS, unique, withSandbox } from '../sdk/support.ts';
import { objectsOf, until } from './support.ts';
import { statSync } from 'node:fs';

const [[, sdk]] = SDKS as [(typeof SDKS)[number]];
const MOUNT = '/home/daytona/shared';

test('what lies in a volume is in no snapshot and no archive of its sandbox, and is there again after the restore', async () => {
  const daytona = client(sdk);
  const volume = await daytona.volume.create(unique('archived'));
  const name = unique('volume-left-out');
  await withSandbox(sdk, { volumes: [{ volumeId: volume.id, mountPath: MOUNT }] }, async (sandbox) => {
    await sandbox.process.executeCommand(`head -c 20000000 /dev/urandom > ${MOUNT}/data; echo own > own`);
    await sandbox._experimental_createSnapshot(name);
    await withSandbox(sdk, { snapshot: name }, async (copy) => {
      expect(copy.volumes ?? []).toEqual([]);
      expect((await copy.process.executeCommand(`cat own; ls -A ${MOUNT} | wc -l`)).result).toBe('own\n0\n');
    });
    await sandbox.stop();
    await sandbox.archive();
    await until(async () => (await daytona.get(sandbox.id)).state === 'archived');
    expect((await objectsOf(sandbox.id)).reduce((sum, path) => sum + statSync(path).size, 0)).toBeLessThan(10_000_000);
    await expect(daytona.volume.delete(volume)).rejects.toThrow('in use');
    await sandbox.start();
    expect((await sandbox.process.executeCommand(`cat own; stat -c %s ${MOUNT}/data`)).result).toBe('own\n20000000\n');
  });
  await daytona.snapshot.delete(await daytona.snapshot.get(name));
  await daytona.volume.delete(volume);
}, 120_000);
