import { describe, expect, test } from 'vitest';
import { SDKS, withSandbox, type Sandbox } from './support.ts';

/** The sandbox's resolver answers on TCP too: reaching it shows whether packets leave the sandbox at all. */
async function resolverReachable(sandbox: Sandbox): Promise<boolean> {
  const done = await sandbox.process.executeCommand(
    `timeout 2 bash -c 'exec 3<>/dev/tcp/'"$(awk '/^nameserver/ {print $2; exit}' /etc/resolv.conf)"'/53' && echo open || echo closed`,
  );
  return done.result.includes('open');
}

describe.each(SDKS)('network policy with %s', (_name, sdk) => {
  test('networkBlockAll at create and at run time, commands and files keep working', async () => {
    await withSandbox(sdk, { networkBlockAll: true }, async (sandbox, daytona) => {
      expect(await resolverReachable(sandbox)).toBe(false);
      await sandbox.fs.uploadFile(Buffer.from('x'), 'x');
      await sandbox.updateNetworkSettings({ networkBlockAll: false });
      expect(await resolverReachable(sandbox)).toBe(true);
      await sandbox.updateNetworkSettings({ networkBlockAll: true });
      expect(await resolverReachable(sandbox)).toBe(false);
      expect((await daytona.get(sandbox.id)).networkBlockAll).toBe(true);
    });
  });

  test('an allow list is stored and turns block-all off', async () => {
    await withSandbox(sdk, {}, async (sandbox, daytona) => {
      await sandbox.updateNetworkSettings({ networkAllowList: '192.0.2.0/24, 198.51.100.7/32' });
      const read = await daytona.get(sandbox.id);
      expect(read.networkBlockAll).toBe(false);
      expect(read.networkAllowList?.replaceAll(' ', '')).toBe('192.0.2.0/24,198.51.100.7/32');
    });
  });
});
