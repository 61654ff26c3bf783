import { describe, expect, test } from 'vitest';
import { api, client, SDKS, unique, withSandbox } from './support.ts';

describe.each(SDKS)('lifecycle with %s', (_name, sdk) => {
  test('a created sandbox is started, has the defaults of the default snapshot and runs code', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      expect(sandbox.state).toBe('started');
      expect([sandbox.cpu, sandbox.memory, sandbox.disk, sandbox.gpu]).toEqual([1, 1, 3, 0]);
      expect(sandbox.name).toBe(sandbox.id);
      expect(sandbox.autoStopInterval).toBe(15);
      expect(sandbox.autoArchiveInterval).toBe(10080);
      expect(sandbox.autoDeleteInterval).toBe(-1);
      expect(sandbox.labels).toEqual({ 'code-toolbox-language': 'python' });
      const run = await sandbox.process.codeRun('print(6 * 7)');
      expect(run).toMatchObject({ exitCode: 0, result: '42\n' });
    });
  });

  test.each([['daytona-small', 1, 1, 3], ['daytona-medium', 2, 4, 8], ['daytona-large', 4, 8, 10]])(
    'snapshot %s gives its resources', async (snapshot, cpu, memory, disk) => {
      await withSandbox(sdk, { snapshot }, async (sandbox) => {
        expect([sandbox.cpu, sandbox.memory, sandbox.disk]).toEqual([cpu, memory, disk]);
        expect(sandbox.snapshot).toBe(snapshot);
        expect((await sandbox.process.executeCommand('echo up')).result).toBe('up\n');
      });
    });

  test('create applies name, labels, env, user, visibility and intervals', async () => {
    const name = unique('applied');
    await withSandbox(sdk, {
      name, labels: { team: 'a', purpose: 'e2e' }, envVars: { GREETING: 'hello world', 'UNDER_1': 'x' },
      public: true, autoStopInterval: 7, autoArchiveInterval: 0, autoDeleteInterval: 33,
    }, async (sandbox, daytona) => {
      const read = await daytona.get(name);
      expect(read.id).toBe(sandbox.id);
      expect(read.name).toBe(name);
      expect(read.labels).toEqual({ team: 'a', purpose: 'e2e', 'code-toolbox-language': 'python' });
      expect(read.env).toEqual({ GREETING: 'hello world', UNDER_1: 'x' });
      expect(read.public).toBe(true);
      expect(read.user).toBe('daytona');
      expect([read.autoStopInterval, read.autoArchiveInterval, read.autoDeleteInterval]).toEqual([7, 43200, 33]);
      const echoed = await sandbox.process.executeCommand('echo "$GREETING/$UNDER_1/$(whoami)/$(pwd)"');
      expect(echoed.result).toBe('hello world/x/daytona//home/daytona\n');
    });
  });

  test('stop and start keep the disk, lose the processes and renew the preview token', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.process.executeCommand('echo kept > kept.txt; nohup sleep 1000 >/dev/null 2>&1 & disown');
      const before = await sandbox.getPreviewLink(3000);
      await sandbox.stop();
      expect(sandbox.state).toBe('stopped');
      await expect(sandbox.process.executeCommand('true')).rejects.toThrow(/started/);
      await sandbox.start();
      expect(sandbox.state).toBe('started');
      const after = await sandbox.process.executeCommand('cat kept.txt; pgrep -c sleep');
      expect(after.result).toBe('kept\n0\n');
      expect((await sandbox.getPreviewLink(3000)).token).not.toBe(before.token);
    });
  });

  test('env given at create is there again after stop and start', async () => {
    await withSandbox(sdk, { envVars: { KEEP: 'me' } }, async (sandbox) => {
      await sandbox.stop();
      await sandbox.start();
      expect((await sandbox.process.executeCommand('echo $KEEP')).result).toBe('me\n');
    });
  });

  test('force stop ends a sandbox whose processes ignore SIGTERM', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.process.executeCommand(`nohup sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null 2>&1 &`);
      const began = Date.now();
      await sandbox.stop(60, true);
      expect(sandbox.state).toBe('stopped');
      expect(Date.now() - began).toBeLessThan(8_000);
    });
  });

  test('start of a started sandbox changes nothing', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.start();
      expect(sandbox.state).toBe('started');
    });
  });

  test('an ephemeral sandbox is gone after stop', async () => {
    const daytona = client(sdk);
    const sandbox = await daytona.create({ ephemeral: true });
    expect(sandbox.autoDeleteInterval).toBe(0);
    await sandbox.stop();
    await expect.poll(async () => (await api(`/sandbox/${sandbox.id}`)).status, { timeout: 10_000 }).toBe(404);
  });

  test('a deleted sandbox is not found and its name is free at once', async () => {
    const daytona = client(sdk);
    const name = unique('reused');
    const first = await daytona.create({ name });
    await first.delete();
    const second = await daytona.create({ name });
    expect(second.id).not.toBe(first.id);
    await second.delete(60, true);
    await expect(daytona.get(second.id)).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
    await expect(daytona.get(name)).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
  });

  test('labels and intervals can be replaced', async () => {
    await withSandbox(sdk, { labels: { old: '1' } }, async (sandbox, daytona) => {
      expect(await sandbox.setLabels({ fresh: '2' })).toEqual({ fresh: '2' });
      await sandbox.setAutostopInterval(0);
      await sandbox.setAutoArchiveInterval(60);
      await sandbox.setAutoDeleteInterval(120);
      const read = await daytona.get(sandbox.id);
      expect(read.labels).toEqual({ fresh: '2' });
      expect([read.autoStopInterval, read.autoArchiveInterval, read.autoDeleteInterval]).toEqual([0, 60, 120]);
      await sandbox.refreshActivity();
    });
  });

  test('work dir, home and latest metrics', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      expect(await sandbox.getWorkDir()).toBe('/home/daytona');
      expect(await sandbox.getUserHomeDir()).toBe('/home/daytona');
      const metrics = await sandbox.getMetricsLatest();
      expect(metrics).toBeTruthy();
    });
  });

  test('env can be changed at run time', async () => {
    await withSandbox(sdk, { envVars: { STAYS: '1', GOES: '2' } }, async (sandbox) => {
      if (typeof sandbox.updateEnv !== 'function') return;
      await sandbox.updateEnv({ ADDED: '3' }, { unset: ['GOES'] } as never);
      expect((await sandbox.process.executeCommand('echo $STAYS-$GOES-$ADDED')).result).toBe('1--3\n');
    });
  });
});
