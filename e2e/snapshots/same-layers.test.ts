import { Image } from '@daytona/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { client, SDKS, unique } from '../sdk/support.ts';
import { Mirror } from './mirror.ts';

/** Two images of the same layers that say different things of themselves: builds on each keep what is theirs. */
const [[, sdk]] = SDKS as [(typeof SDKS)[0]];
const daytona = client(sdk);
const mirror = new Mirror();
beforeAll(async () => {
  await mirror.start();
  for (const name of ['one', 'two']) await mirror.publish(`library/${name}:1`, { Env: ['PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', `IS=${name}`] });
});
afterAll(() => mirror.stop());

test('builds on images with the same layers and another configuration, with the same steps and with others', async () => {
  const same = unique('same');
  for (const [base, command] of [['one', same], ['two', same], ['one', unique('other')], ['two', unique('another')]] as const) {
    const sandbox = await daytona.create({ image: Image.base(`${base}:1`).runCommands(`echo ${command} $IS > /said`) }, { timeout: 300 });
    expect((await sandbox.process.executeCommand('cat /said; echo $IS')).result).toBe(`${command} ${base}\n${base}\n`);
    await sandbox.delete();
  }
}, 300_000);
