import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { random, sha256, startRegistry, type TestRegistry } from './registry-support.ts';

/** A disk of 24 MiB. */
const directory = mkdtempSync(join(tmpdir(), 'paddock-full-'));
const mounted = process.getuid?.() === 0 && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', directory]).status === 0;
if (!mounted) console.log('skipped: a full disk (no right to mount a small one)');

let server: TestRegistry;
beforeAll(async () => { if (mounted) server = await startRegistry({ patience: { linkMs: 0, contentMs: 0, uploadMs: 0 } }, directory); });
afterAll(async () => {
  await server?.close().catch(() => undefined); // cannot remove its mount point
  if (mounted) spawnSync('umount', [directory]);
  rmSync(directory, { recursive: true, force: true });
});

test.skipIf(!mounted)('a full disk is said, breaks nothing that is there, and is over when there is room again', async () => {
  const digest = await server.pushImage('org-a/kept', 'v1', [random(5_000_000)]);
  const large = random(40_000_000);
  const whole = await server.call('POST', `/v2/org-a/large/blobs/uploads/?digest=${sha256(large)}`, { body: large });
  expect([whole.status, whole.json.errors[0]]).toEqual([507, { code: 'STORE_FULL', message: expect.stringContaining('full') }]);
  const location = String((await server.call('POST', '/v2/org-a/large/blobs/uploads/')).headers.location);
  expect((await server.call('PATCH', location, { body: large.subarray(0, 8_000_000) })).status).toBe(202);
  expect((await server.call('PATCH', location, { body: large.subarray(8_000_000) })).status).toBe(507);
  expect((await server.call('GET', location)).headers.range).toBe('0-7999999');
  expect((await server.call('GET', `/v2/org-a/kept/manifests/${digest}`)).status).toBe(200);
  expect((await server.call('DELETE', location)).status).toBe(204);
  expect(await server.push('org-a/large', large.subarray(0, 12_000_000))).toBe(sha256(large.subarray(0, 12_000_000)));
  await server.registry.collect();
  expect((await server.blobs.list('uploads/', { limit: 10 })).blobs).toEqual([]);
});
