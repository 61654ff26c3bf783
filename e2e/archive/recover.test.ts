import { describe, expect, test } from 'vitest';
import pg from 'pg';
import { inject } from 'vitest';
import { api, SDKS, withSandbox, type Sandbox } from '../sdk/support.ts';

/** As if its start had failed for such a reason: a full disk as such starts (packages/runner/test/storage-full-disk.test.ts). */
async function fail(sandbox: Sandbox, reason: string, recoverable = true): Promise<void> {
  const client = new pg.Client({ host: inject('postgresSocketDir'), user: 'paddock', database: 'paddock' });
  await client.connect();
  await client.query(`update sandboxes set state = 'error', error_reason = $2, recoverable = $3, revision = revision + 1 where id = $1`, [sandbox.id, reason, recoverable]);
  await client.end();
}

const FULL = 'mkdir /home: disk quota exceeded';

describe.each(SDKS)('recovering with %s', (_name, sdk) => {
  test('a sandbox that failed with its disk intact starts again, and one whose disk was full has more of it', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.process.executeCommand('echo kept > kept');
      await sandbox.stop();
      await fail(sandbox, 'Timeout while starting sandbox');
      await sandbox.refreshData();
      expect([sandbox.state, sandbox.recoverable, sandbox.errorReason]).toEqual(['error', true, 'Timeout while starting sandbox']);
      await expect(sandbox.start()).rejects.toThrow('errored state');
      await sandbox.recover();
      expect((await sandbox.process.executeCommand('cat kept')).result).toBe('kept\n');
      const size = async () => (await (await fetch(`${sandbox.toolboxProxyUrl}/${sandbox.id}/system/metrics`, { headers: { Authorization: `Bearer ${inject('apiKey')}` } })).json() as { diskTotal: number }).diskTotal / 1024 ** 3;
      expect(await size()).toBe(3);
      for (const grown of [3.15, 3.3]) {
        await sandbox.stop();
        await fail(sandbox, FULL);
        await sandbox.recover();
        expect(await size()).toBeCloseTo(grown, 5);
        expect(sandbox.disk).toBe(3);
      }
      await sandbox.stop();
      await fail(sandbox, FULL);
      const refused = await api(`/sandbox/${sandbox.id}/recover`, { method: 'POST' });
      expect([refused.status, (await refused.json() as { message: string }).message]).toEqual([403, expect.stringContaining('enlarged by 10 % already')]);
    });
  });
});

const [[, sdk]] = SDKS as [(typeof SDKS)[number]];

test('with skipStart it is stopped, and an administrator can recover any', async () => {
  await withSandbox(sdk, {}, async (sandbox) => {
    await sandbox.stop();
    await fail(sandbox, 'Timeout while starting sandbox');
    const stopped = await api(`/sandbox/${sandbox.id}/recover?skipStart=true`, { method: 'POST' });
    expect([stopped.status, (await stopped.json() as { state: string }).state]).toEqual([200, 'stopped']);
    await fail(sandbox, 'Timeout while starting sandbox');
    const started = await api(`/admin/sandbox/${sandbox.id}/recover`, { method: 'POST' });
    expect([started.status, (await started.json() as { state: string }).state]).toEqual([200, 'started']);
  });
});

test('what is not failed, or cannot be recovered, is refused', async () => {
  await withSandbox(sdk, {}, async (sandbox) => {
    const message = async () => {
      const reply = await api(`/sandbox/${sandbox.id}/recover`, { method: 'POST' });
      return [reply.status, (await reply.json() as { message: string }).message];
    };
    expect(await message()).toEqual([400, 'Sandbox must be in error state to recover']);
    await sandbox.stop();
    await fail(sandbox, 'The sandbox no longer exists on its runner', false);
    expect(await message()).toEqual([400, 'Sandbox is not in a recoverable error state']);
    expect((await api('/admin/sandbox/11111111-1111-4111-8111-111111111111/recover', { method: 'POST' })).status).toBe(404);
  });
});
