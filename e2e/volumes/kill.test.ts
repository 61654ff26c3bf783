import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPaddock, type Paddock } from '../support/harness.ts';

/** kill -9 of every process while volumes are made, used and deleted, on a server of their own. */
let paddock: Paddock;
beforeAll(async () => {
  paddock = await startPaddock({ warmPool: 'daytona-small=1', env: { PADDOCK_VOLUME_SIZE_GIB: '1' } });
});
afterAll(async () => {
  await paddock.stop();
  expect(paddock.leftovers()).toEqual([]);
});

async function call(method: string, path: string, body?: object): Promise<any> {
  const reply = await fetch(paddock.apiUrl + path, {
    method, headers: { authorization: `Bearer ${paddock.apiKey}`, ...(body ? { 'content-type': 'application/json' } : {}) }, ...(body ? { body: JSON.stringify(body) } : {}),
  }).catch(() => null);
  return reply && { status: reply.status, body: await reply.json().catch(() => null) };
}
const onDisk = (part: string) => readdirSync(`/proc/${paddock.pids().runner}/root${paddock.layout.dataDir}/pool/volumes/${part}`);
async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await Promise.resolve().then(condition).catch(() => false));) {
    if (Date.now() > deadline) throw new Error(`not within a minute: ${what}`);
    await sleep(200);
  }
}

test('rows, data and mounts agree in the end, and nothing written is lost', async () => {
  const { body: kept } = await call('POST', '/volumes', { name: 'kept' });
  const first = await call('POST', '/sandbox', { volumes: [{ volumeId: 'kept', mountPath: '/data' }] });
  const toolbox = (id: string, command: string) => call('POST', `/../toolbox/${id}/process/execute`, { command });
  expect((await toolbox(first.body.id, 'echo written > /data/f && sync /data/f')).status).toBe(200);

  for (const victim of ['runner', 'control', 'postgres', 'runner'] as const) {
    const work = Array.from({ length: 4 }, async (_, index) => {
      const volume = await call('POST', '/volumes', {});
      if (volume?.status !== 200) return;
      const sandbox = await call('POST', '/sandbox', { volumes: [{ volumeId: volume.body.id, mountPath: '/x', subpath: 'a/b' }, { volumeId: kept.id, mountPath: '/kept' }] });
      if (index % 2 === 0 && sandbox?.body?.id) await call('DELETE', `/sandbox/${sandbox.body.id}`);
      await call('DELETE', `/volumes/${volume.body.id}`);
    });
    await sleep(60);
    paddock.kill9(victim);
    await Promise.all(work);
    await until(async () => (await call('GET', '/health'))?.status === 200 && (await call('GET', '/volumes'))?.status === 200, `the server is there after the death of ${victim}`);
  }

  await until(async () => {
    const { items } = (await call('GET', '/sandbox?limit=100')).body as { items: Array<{ id: string }> };
    const others = items.filter(({ id }) => id !== first.body.id);
    await Promise.all(others.map(({ id }) => call('DELETE', `/sandbox/${id}`)));
    return others.length === 0;
  }, 'the other sandboxes are deleted');
  await until(async () => {
    const volumes = (await call('GET', '/volumes')).body as Array<{ id: string; state: string }>;
    const others = volumes.filter(({ id }) => id !== kept.id);
    await Promise.all(others.filter(({ state }) => state === 'ready' || state === 'error').map(({ id }) => call('DELETE', `/volumes/${id}`)));
    return others.length === 0;
  }, 'the other volumes are deleted');
  await until(() => onDisk('live').join() === kept.id && onDisk('new').length === 0 && onDisk('trash').length === 0, 'their data is gone');

  await until(async () => (await call('GET', `/sandbox/${first.body.id}`)).body.state === 'started', 'the first sandbox runs');
  expect((await toolbox(first.body.id, 'cat /data/f')).body.result).toBe('written\n');
  expect((await call('DELETE', `/volumes/${kept.id}`)).status).toBe(409);
  await call('DELETE', `/sandbox/${first.body.id}`);
  expect((await call('DELETE', `/volumes/${kept.id}`)).status).toBe(200);
  await until(() => onDisk('live').length === 0, 'all is gone');
}, 240_000);
