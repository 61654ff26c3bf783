import { describe, expect, test } from 'vitest';
import { api, client, SDKS, withSandbox } from '../sdk/support.ts';
import { damage, objectsOf, pretendStoppedFor, until } from './support.ts';

const TIMEOUT_MS = 120_000;

describe.each(SDKS)('archiving with %s', (_name, sdk) => {
  test('an archived sandbox starts again with its files, owners and modes, and without what it had deleted', async () => {
    await withSandbox(sdk, { envVars: { KEPT: 'yes' }, labels: { a: 'b' } }, async (sandbox, daytona) => {
      await sandbox.process.executeCommand(
        'head -c 40000000 /dev/urandom > data; sha256sum data > sum; mkdir -m 750 d; ln data d/hard; ln -s /etc d/link; echo x > "sp ace"; setfattr -n user.a -v b sum 2>/dev/null; sudo rm /usr/bin/yes; true',
      );
      const listing = 'sha256sum --check --quiet sum && stat -c "%n %a %U %s %h" data d d/hard "sp ace" && readlink d/link && ls /usr/bin/yes 2>&1; echo $KEPT';
      const before = (await sandbox.process.executeCommand(listing)).result;
      await sandbox.stop();
      await sandbox.archive();
      await until(async () => {
        await sandbox.refreshData();
        return sandbox.state === 'archived';
      });
      const dto = await (await api(`/sandbox/${sandbox.id}`)).json() as { backupState: string; backupCreatedAt: string; runnerId?: string; desiredState: string };
      expect(dto).toMatchObject({ backupState: 'Completed', desiredState: 'archived' });
      expect(dto.runnerId).toBeUndefined();
      expect(Date.now() - Date.parse(dto.backupCreatedAt)).toBeLessThan(TIMEOUT_MS);
      expect((await objectsOf(sandbox.id)).length).toBeGreaterThan(1);

      await (await daytona.get(sandbox.id)).start();
      await sandbox.refreshData();
      expect(sandbox.state).toBe('started');
      expect((await sandbox.process.executeCommand(listing)).result).toBe(before);
      // What is not needed any more is removed.
      await until(async () => (await objectsOf(sandbox.id)).length === 0);
      expect(await (await api(`/sandbox/${sandbox.id}`)).json()).toMatchObject({ backupState: 'None', labels: { a: 'b' } });
    });
  }, TIMEOUT_MS);
});

const [[, sdk]] = SDKS as [(typeof SDKS)[number]];

describe('archiving', () => {
  test('is for stopped sandboxes that are not ephemeral', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const refused = await api(`/sandbox/${sandbox.id}/archive`, { method: 'POST' });
      expect([refused.status, (await refused.json() as { message: string }).message]).toEqual([400, 'Sandbox is not stopped']);
      await sandbox.stop();
      await sandbox.setAutoDeleteInterval(0);
      const ephemeral = await api(`/sandbox/${sandbox.id}/archive`, { method: 'POST' });
      expect([ephemeral.status, (await ephemeral.json() as { message: string }).message]).toEqual([400, 'Ephemeral sandboxes cannot be archived']);
      expect((await api(`/sandbox/${sandbox.id}/backup`, { method: 'POST' })).status).toBe(400);
    });
    expect((await api('/sandbox/nobody/archive', { method: 'POST' })).status).toBe(404);
  });

  test('a start while it goes on gives it up, and nothing of it stays', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.process.executeCommand('head -c 600000000 /dev/urandom > data; sha256sum data > sum');
      await sandbox.stop();
      const archiving = await (await api(`/sandbox/${sandbox.id}/archive`, { method: 'POST' })).json() as { state: string; backupState: string };
      expect(archiving).toMatchObject({ state: 'archiving', backupState: 'InProgress' });
      await sandbox.start();
      expect((await sandbox.process.executeCommand('sha256sum --check --quiet sum && echo same')).result).toBe('same\n');
      await until(async () => (await objectsOf(sandbox.id)).length === 0);
    });
  }, TIMEOUT_MS);

  test('a delete while it goes on, and one of an archived sandbox, leave no object', async () => {
    const daytona = client(sdk);
    const [early, late] = await Promise.all([daytona.create(), daytona.create()]);
    await Promise.all([early, late].map((sandbox) => sandbox.process.executeCommand('head -c 300000000 /dev/urandom > data')));
    await Promise.all([early.stop(), late.stop()]);
    await early.archive();
    await early.delete();
    await until(async () => (await api(`/sandbox/${early.id}`)).status === 404);
    await late.archive();
    await until(async () => (await daytona.get(late.id)).state === 'archived');
    expect((await objectsOf(late.id)).length).toBeGreaterThan(0);
    await late.delete();
    for (const { id } of [early, late]) await until(async () => (await objectsOf(id)).length === 0);
  }, TIMEOUT_MS);

  test('happens by itself when a sandbox was stopped for its interval', async () => {
    await withSandbox(sdk, { autoArchiveInterval: 1 }, async (sandbox, daytona) => {
      await sandbox.process.executeCommand('echo kept > kept');
      await sandbox.stop();
      await until(async () => {
        const { state } = await daytona.get(sandbox.id);
        // Again, as the server may only now write down that the command was an activity. A changed interval makes the clock look at once.
        if (state === 'stopped') await pretendStoppedFor(sandbox.id, 2).then(() => sandbox.setAutoArchiveInterval(1));
        return state === 'archived';
      });
      await sandbox.start();
      expect((await sandbox.process.executeCommand('cat kept')).result).toBe('kept\n');
    });
  }, TIMEOUT_MS);

  test('a damaged archive is an error with a reason that can be recovered from, and the archive stays', async () => {
    await withSandbox(sdk, {}, async (sandbox, daytona) => {
      await sandbox.process.executeCommand('head -c 1000000 /dev/urandom > data');
      await sandbox.stop();
      await sandbox.archive();
      await until(async () => (await daytona.get(sandbox.id)).state === 'archived');
      const [piece] = (await objectsOf(sandbox.id)).filter((key) => key.includes('piece-'));
      const undo = damage(piece!);
      const failed = await api(`/sandbox/${sandbox.id}/start`, { method: 'POST' });
      expect(failed.status).toBe(400);
      expect((await failed.json() as { message: string }).message).toContain('The archive is damaged');
      await sandbox.refreshData();
      expect([sandbox.state, sandbox.recoverable]).toEqual(['error', true]);
      undo();
      await sandbox.recover();
      expect(sandbox.state).toBe('started');
      expect((await sandbox.process.executeCommand('wc -c < data')).result).toBe('1000000\n');
    });
  }, TIMEOUT_MS);
});
