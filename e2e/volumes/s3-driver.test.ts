import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Daytona } from '@daytona/sdk';
import { startPaddock, type Paddock } from '../support/harness.ts';

/** `PADDOCK_VOLUMES_DRIVER=s3`: volumes in the embedded object store, on a server of their own. */
const missing = spawnSync('rclone', ['version']).error || spawnSync('fusermount3', ['--version']).error ? 'rclone and fuse3 are not installed' : null;
if (missing) console.log(`S3 volumes are not tested: ${missing}`);

let paddock: Paddock;
let daytona: Daytona;
beforeAll(async () => {
  if (missing) return;
  paddock = await startPaddock({ warmPool: 'daytona-small=1', env: { PADDOCK_VOLUMES_DRIVER: 's3' } });
  daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
});
afterAll(async () => {
  await paddock?.stop();
  expect(paddock?.leftovers() ?? []).toEqual([]);
});

test.skipIf(missing)('volumes are shared, outlive sandboxes and server processes, and go with their objects', async () => {
  await paddock.warmPoolFull();
  const volume = await daytona.volume.create('in the store');
  expect(volume.state).toBe('ready');
  const mountPath = '/home/daytona/volume';
  const writer = await daytona.create({ volumes: [{ volumeId: volume.id, mountPath }] });
  await writer.fs.uploadFile(Buffer.from('shared payload'), `${mountPath}/users/alice/payload.bin`);
  const reader = await daytona.create({ snapshot: 'daytona-medium', volumes: [{ volumeId: 'in the store', mountPath, subpath: 'users/alice' }] });
  expect(String(await reader.fs.downloadFile(`${mountPath}/payload.bin`))).toBe('shared payload');
  await daytona.delete(writer);

  expect([paddock.kill9('control'), paddock.kill9('runner')]).toEqual([true, true]);
  let said = '';
  for (const deadline = Date.now() + 60_000; said === '' && Date.now() < deadline; await sleep(200)) {
    said = await reader.process.executeCommand(`echo more >> ${mountPath}/payload.bin && cat ${mountPath}/payload.bin`).then(({ result }) => result, () => '');
  }
  expect(said).toBe('shared payloadmore\n');
  await daytona.delete(reader);
  const later = await daytona.create({ volumes: [{ volumeId: volume.id, mountPath }] });
  expect((await later.process.executeCommand(`cat ${mountPath}/users/alice/payload.bin`)).result).toBe('shared payloadmore\n');
  await daytona.delete(later);

  await daytona.volume.delete(volume);
  for (const deadline = Date.now() + 30_000; (await daytona.volume.list()).length > 0;) {
    expect(Date.now()).toBeLessThan(deadline);
    await sleep(100);
  }
}, 120_000);
