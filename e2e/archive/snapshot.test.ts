import { describe, expect, test } from 'vitest';
import { api, SDKS, unique, withSandbox } from '../sdk/support.ts';

const TIMEOUT_MS = 120_000;

describe.each(SDKS)('snapshots of sandboxes with %s', (_name, sdk) => {
  test('a live sandbox becomes a snapshot that sandboxes are made of, and goes on', async () => {
    const name = unique('from-sandbox');
    await withSandbox(sdk, { envVars: { SECRET: 'not-in-the-snapshot' } }, async (sandbox, daytona) => {
      await sandbox.process.executeCommand('echo made > here; sudo sh -c "echo tool > /usr/local/bin/tool"; nohup sleep 1000 >/dev/null 2>&1 & disown');
      await sandbox._experimental_createSnapshot(name);
      expect(sandbox.state).toBe('started');
      expect((await sandbox.process.executeCommand('pgrep -c sleep')).result).toBe('1\n');
      const snapshot = await daytona.snapshot.get(name);
      expect(snapshot).toMatchObject({ state: 'active', cpu: 1, mem: 1, disk: 3, sourceSandboxId: sandbox.id });
      expect(snapshot.size).toBeGreaterThan(0);
      await sandbox.process.executeCommand('rm here');
      await withSandbox(sdk, { snapshot: name }, async (copy) => {
        expect(copy.snapshot).toBe(name);
        expect((await copy.process.executeCommand('cat here /usr/local/bin/tool; whoami; echo "[$SECRET]"; pgrep -c sleep')).result).toBe('made\ntool\ndaytona\n[]\n0\n');
        // A snapshot of a sandbox made of a snapshot, of a stopped one.
        await copy.process.executeCommand('echo more > there');
        await copy.stop();
        const second = unique('second');
        await copy._experimental_createSnapshot(second);
        expect(copy.state).toBe('stopped');
        await withSandbox(sdk, { snapshot: second }, async (grandchild) => {
          expect((await grandchild.process.executeCommand('cat here there')).result).toBe('made\nmore\n');
        });
        await daytona.snapshot.delete(await daytona.snapshot.get(second));
      });
      await daytona.snapshot.delete(snapshot);
    });
  }, TIMEOUT_MS);
});

const [[, sdk]] = SDKS as [(typeof SDKS)[number]];

async function ask(id: string, body: object): Promise<[number, string]> {
  const reply = await api(`/sandbox/${id}/snapshot`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const { message = '' } = await reply.json() as { message?: string };
  return [reply.status, String(message)];
}

test('names that are taken or impossible, memory and unknown sandboxes are refused before anything happens', async () => {
  const name = unique('refused');
  await withSandbox(sdk, {}, async (sandbox, daytona) => {
    expect((await ask(sandbox.id, { name }))[0]).toBe(200);
    expect(await ask(sandbox.id, { name })).toEqual([409, expect.stringContaining(name)]);
    expect((await ask(sandbox.id, { name: 'no blanks' }))[0]).toBe(400);
    expect((await ask(sandbox.id, {}))[0]).toBe(400);
    expect(await ask(sandbox.id, { name: unique('memory'), includeMemory: true })).toEqual([400, expect.stringContaining('memory')]);
    expect((await ask('11111111-1111-4111-8111-111111111111', { name: unique('nobody') }))[0]).toBe(404);
    await sandbox.refreshData();
    expect(sandbox.state).toBe('started');
    await daytona.snapshot.delete(await daytona.snapshot.get(name));
  });
});

test('a sandbox deleted while it is snapshotted goes, and the snapshot ends as one or as an error', async () => {
  const name = unique('deleted-meanwhile');
  await withSandbox(sdk, {}, async (sandbox, daytona) => {
    await sandbox.process.executeCommand('head -c 200M /dev/zero > zeros');
    const asked = ask(sandbox.id, { name });
    await expect.poll(async () => (await daytona.snapshot.get(name).catch(() => null))?.state, { interval: 5 }).toBeDefined();
    expect((await api(`/sandbox/${sandbox.id}`, { method: 'DELETE' })).status).toBe(200);
    expect((await asked)[0]).toBeLessThan(500);
    await expect.poll(async () => (await daytona.snapshot.get(name)).state, { timeout: 30_000 }).toMatch(/^(?:active|error)$/);
    const snapshot = await daytona.snapshot.get(name);
    if (snapshot.state === 'active') await withSandbox(sdk, { snapshot: name }, async (copy) => expect((await copy.process.executeCommand('stat -c %s zeros')).result).toBe('209715200\n'));
    else expect(snapshot.errorReason).toBeTruthy();
    await daytona.snapshot.delete(snapshot);
  });
}, TIMEOUT_MS);

test('an archived sandbox made of a snapshot starts again after the snapshot was deleted', async () => {
  const name = unique('gone');
  await withSandbox(sdk, {}, async (source, daytona) => {
    await source.process.executeCommand('echo base > base; rm -f .profile');
    await source._experimental_createSnapshot(name);
    await withSandbox(sdk, { snapshot: name }, async (sandbox) => {
      await sandbox.process.executeCommand('echo own > own');
      await sandbox.stop();
      await sandbox.archive();
      await expect.poll(async () => (await daytona.get(sandbox.id)).state, { timeout: 30_000 }).toBe('archived');
      await daytona.snapshot.delete(await daytona.snapshot.get(name));
      await sandbox.start();
      expect((await sandbox.process.executeCommand('cat base own; ls -A | grep -c profile')).result).toBe('base\nown\n0\n');
    });
  });
}, TIMEOUT_MS);
