import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiskBlobs, type RegistryCredential } from '@paddock/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { basic, imageManifest, MANIFEST, random, send, sha256, startRegistry, type Reply } from './registry-support.ts';

let directory: string;
let child: ChildProcess | null;
let port = 0;
let own: RegistryCredential;
beforeEach(() => { directory = mkdtempSync(join(tmpdir(), 'paddock-killed-')); });
afterEach(async () => {
  await kill();
  rmSync(directory, { recursive: true, force: true });
});

async function start(): Promise<void> {
  child = spawn(process.execPath, [join(import.meta.dirname, 'registry-process.ts'), directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    child!.stdout!.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    child!.once('exit', (status) => reject(new Error(`ended with ${status}`)));
  });
  ({ port, own } = JSON.parse(line) as { port: number; own: RegistryCredential });
}

async function kill(): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child!.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

const call = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}): Promise<Reply> =>
  send(port, method, path, { authorization: basic(own), ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }), ...headers }, body);

test('an upload goes on after the server was killed between and within its pieces', async () => {
  const content = random(3_000_000);
  await start();
  const location = String((await call('POST', '/v2/org-a/up/blobs/uploads/')).headers.location);
  expect((await call('PATCH', location, content.subarray(0, 1_000_000))).status).toBe(202);
  await kill();
  await start();
  expect((await call('GET', location)).headers.range).toBe('0-999999');

  // Half of a piece is none.
  const half = request({ host: '127.0.0.1', port, method: 'PATCH', path: location, headers: { authorization: basic(own), 'content-length': '1000000' } });
  half.on('error', () => undefined);
  half.write(content.subarray(1_000_000, 1_500_000));
  await sleep(300);
  await kill();
  await start();
  expect((await call('GET', location)).headers.range).toBe('0-999999');
  expect((await call('PATCH', location, content.subarray(1_000_000, 2_000_000), { 'content-range': '1000000-1999999' })).status).toBe(202);
  await kill();
  await start();
  expect((await call('PUT', `${location}?digest=${sha256(content)}`, content.subarray(2_000_000))).status).toBe(201);
  expect((await call('GET', `/v2/org-a/up/blobs/${sha256(content)}`)).body.equals(content)).toBe(true);
});

/** What a client was told is there is there, and nothing that a tag leads to is broken. */
test('killed at any moment of pushes and deletions, it comes back whole', async () => {
  const accepted = new Map<string, string>();
  const deleting = new Set<string>();
  let round = 0;
  const client = async (): Promise<never> => {
    for (;;) {
      const tag = `t${round++}`;
      const repository = `org-a/r${round % 3}`;
      const layer = random(200_000);
      const started = await call('POST', `/v2/${repository}/blobs/uploads/`);
      await call('PATCH', String(started.headers.location), layer.subarray(0, 100_000));
      await call('PUT', `${String(started.headers.location)}?digest=${sha256(layer)}`, layer.subarray(100_000));
      await call('POST', `/v2/${repository}/blobs/uploads/?digest=${sha256('{}')}`, '{}');
      const body = imageManifest(sha256('{}'), [{ digest: sha256(layer), size: layer.length }]);
      const put = await call('PUT', `/v2/${repository}/manifests/${tag}`, body, { 'content-type': MANIFEST });
      expect(put.status, put.body.toString()).toBe(201);
      accepted.set(`${repository} ${tag}`, sha256(body));
      if (round % 4 === 0) {
        const [name = '', digest = ''] = [...accepted][0] ?? [];
        deleting.add(name);
        await call('DELETE', `/v2/${name.split(' ')[0]}/manifests/${digest}`);
        accepted.delete(name);
      }
    }
  };
  for (let deaths = 0; deaths < 8; deaths++) {
    await start();
    const clients = [client(), client()].map((running) => running.catch((error: Error) => error));
    await sleep(250 + Math.random() * 400);
    await kill();
    for (const ended of await Promise.all(clients)) expect(String((ended as { code?: unknown }).code ?? ended), String(ended)).toMatch(/ECONN|EPIPE|socket hang up|aborted/i);
  }
  await start();
  let pulled = 0;
  for (const repository of ['org-a/r0', 'org-a/r1', 'org-a/r2']) {
    for (const tag of ((await call('GET', `/v2/${repository}/tags/list`)).json?.tags ?? []) as string[]) {
      const name = `${repository} ${tag}`;
      const manifest = await call('GET', `/v2/${repository}/manifests/${tag}`);
      // A deletion that was cut short may leave a tag whose manifest is gone no earlier than its tags: never.
      expect(manifest.status, name).toBe(200);
      for (const { digest } of [manifest.json.config, ...manifest.json.layers] as { digest: string }[]) {
        const blob = await call('GET', `/v2/${repository}/blobs/${digest}`);
        expect([blob.status, sha256(blob.body)], name).toEqual([200, digest]);
      }
      pulled += 1;
    }
  }
  for (const [name, digest] of accepted) {
    if (deleting.has(name)) continue;
    const [repository = '', tag = ''] = name.split(' ');
    expect((await call('GET', `/v2/${repository}/manifests/${tag}`)).headers['docker-content-digest'], name).toBe(digest);
  }
  expect(pulled).toBeGreaterThan(8);
  await kill();

  // With nothing young any more, everything that is not tagged goes, and only that.
  const after = await startRegistry({ blobs: new DiskBlobs(directory), patience: { linkMs: 0, contentMs: 0, uploadMs: 0 } }, directory);
  try {
    await after.registry.collect();
    const keys = async (prefix: string) => (await after.blobs.list(prefix, { limit: 10_000 })).blobs.map(({ key }) => key);
    expect(await keys('uploads/')).toEqual([]);
    expect((await keys('links/')).length).toBe((await keys('repositories/')).filter((key) => key.includes('/blobs/')).length);
    for (const key of await keys('content/')) expect((await keys(`links/sha256/${key.split('/').at(-1)}/`)).length, key).toBeGreaterThan(0);
  } finally {
    await after.close();
  }
}, 120_000);
