import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daytona, type Sandbox } from '@daytona/sdk';
import { until } from '../archive/wait.ts';
import { type Paddock, startPaddock } from '../support/harness.ts';

/** Enough that a kill hits the middle of it: a second or more of copying. */
const DATA_MIB = 400;
const CHECK = 'sha256sum --check --quiet sum && cat kept';

let paddock: Paddock;
let daytona: Daytona;

beforeAll(async () => {
  paddock = await startPaddock();
  daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  await until(async () => (await daytona.snapshot.get('daytona-small')).state === 'active');
});
afterAll(async () => {
  await paddock.stop();
  expect(paddock.leftovers()).toEqual([]);
});

async function filled(): Promise<Sandbox> {
  const sandbox = await daytona.create();
  await sandbox.process.executeCommand(`head -c ${DATA_MIB}M /dev/urandom > data; sha256sum data > sum; echo kept > kept`, undefined, undefined, 120);
  return sandbox;
}

/** SDK calls fail while the control plane is away: it is asked until it is back. */
async function stateOf({ id }: Sandbox): Promise<string | null> {
  const reply = await fetch(`${paddock.apiUrl}/sandbox/${id}`, { headers: { Authorization: `Bearer ${paddock.apiKey}` } }).catch(() => null);
  return reply?.ok ? (await reply.json() as { state: string }).state : null;
}

async function post(path: string): Promise<void> {
  await fetch(`${paddock.apiUrl}${path}`, { method: 'POST', headers: { Authorization: `Bearer ${paddock.apiKey}` } }).catch(() => null);
}

describe.each(['runner', 'control', 'postgres'] as const)('the %s killed', (victim) => {
  test('while a sandbox is archived and while it is restored: it ends as it should, with every byte', async () => {
    const sandbox = await filled();
    await sandbox.stop();
    await post(`/sandbox/${sandbox.id}/archive`);
    expect(paddock.kill9(victim)).toBe(true);
    await until(async () => await stateOf(sandbox) === 'archived', 120_000);
    const starting = post(`/sandbox/${sandbox.id}/start`);
    await until(async () => await stateOf(sandbox) === 'restoring', 30_000);
    expect(paddock.kill9(victim)).toBe(true);
    await starting;
    await until(async () => await stateOf(sandbox) === 'started', 120_000);
    expect((await sandbox.process.executeCommand(CHECK)).result).toBe('kept\n');
    await sandbox.delete();
    await until(async () => paddock.sandboxLeftovers().length === 0, 30_000);
  }, 300_000);

  test('while snapshots are taken of a running sandbox: it goes on, and each snapshot is whole or failed', async () => {
    const sandbox = await filled();
    const names: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      const name = `killed-${victim}-${round}`;
      names.push(name);
      const asked = fetch(`${paddock.apiUrl}/sandbox/${sandbox.id}/snapshot`, {
        method: 'POST', headers: { Authorization: `Bearer ${paddock.apiKey}`, 'content-type': 'application/json' }, body: JSON.stringify({ name }),
      }).catch(() => null);
      await new Promise((resolve) => setTimeout(resolve, round * 30));
      paddock.kill9(victim);
      await asked;
      await until(async () => await stateOf(sandbox) === 'started', 60_000);
    }
    expect((await sandbox.process.executeCommand(CHECK)).result).toBe('kept\n');
    for (const name of names) {
      const snapshot = await daytona.snapshot.get(name).catch(() => null);
      if (snapshot === null) continue; // the request never arrived
      await until(async () => ['active', 'error'].includes((await daytona.snapshot.get(name)).state), 60_000);
      if ((await daytona.snapshot.get(name)).state === 'active') {
        const copy = await daytona.create({ snapshot: name });
        expect((await copy.process.executeCommand(CHECK)).result).toBe('kept\n');
        await copy.delete();
      }
      await daytona.snapshot.delete(await daytona.snapshot.get(name));
    }
    await sandbox.delete();
    await until(async () => paddock.sandboxLeftovers().length === 0, 30_000);
  }, 300_000);
});
