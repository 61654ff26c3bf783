import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Image } from '@daytona/sdk';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { api, client, SDKS, unique } from '../sdk/support.ts';
import { Mirror } from './mirror.ts';

/** An image pushed into this server's registry, as the CLI's `snapshot push` does it: a snapshot is made of it, and builds stand on it. */
const [[, sdk]] = SDKS as [(typeof SDKS)[0]];
const daytona = client(sdk);
const mirror = new Mirror();
beforeAll(async () => {
  await mirror.start();
  await mirror.publish('library/pushed:1', { User: 'daytona', Env: ['PATH=/usr/bin:/bin', 'FROM_PUSH=yes'] });
});
afterAll(() => mirror.stop());

const missing = spawnSync('skopeo', ['--version']).error ? 'skopeo is not installed' : null;
if (missing) console.log(`skipped: ${missing}`);

test.skipIf(missing)('push access, push, snapshot, sandbox, build on top of it; deleting the snapshot drops the image', async () => {
  const access = (await (await api('/docker-registry/registry-push-access')).json()) as { username: string; secret: string; registryUrl: string; project: string };
  const image = `${access.registryUrl}/${access.project}/pushed:20260101000000`;
  const push = spawn('skopeo', [
    'copy', '--quiet', '--src-tls-verify=false', '--dest-tls-verify=false', '--dest-creds', `${access.username}:${access.secret}`,
    `docker://127.0.0.1:${inject('mirrorPort')}/library/pushed:1`, `docker://${image}`,
  ], { stdio: 'inherit' });
  expect(await once(push, 'close')).toEqual([0, null]);

  const name = unique('pushed');
  const snapshot = await daytona.snapshot.create({ name, image });
  expect(snapshot).toMatchObject({ state: 'active', imageName: image });
  const sandbox = await daytona.create({ snapshot: name });
  expect((await sandbox.process.executeCommand('echo $FROM_PUSH; id -un')).result).toBe('yes\ndaytona\n');
  await sandbox.delete();

  const built = await daytona.create({ image: Image.base(image).runCommands('echo on top > /tmp/top') }, { timeout: 300 });
  expect((await built.process.executeCommand('cat /tmp/top; echo $FROM_PUSH')).result).toBe('on top\nyes\n');
  await built.delete();

  await daytona.snapshot.delete(snapshot);
  const again = () => daytona.snapshot.create({ name: unique('gone'), image }).then(() => 'active', (error: Error) => error.message);
  await expect.poll(again, { timeout: 30_000 }).toMatch(/Reason: /);
}, 300_000);
