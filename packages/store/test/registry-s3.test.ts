import { openBlobs } from '@paddock/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { imageManifest, MANIFEST, random, sha256, startRegistry, type TestRegistry } from './registry-support.ts';
import { startS3, type TestS3 } from './s3/support.ts';

/** The registry in a bucket of an S3 store, which knows no metadata in listings and has parts of at least 5 MiB. */
let s3: TestS3;
let server: TestRegistry;
beforeAll(async () => {
  s3 = await startS3();
  server = await startRegistry({ blobs: openBlobs(s3.access({ prefix: 'registry/' })), patience: { linkMs: 0, contentMs: 0, uploadMs: 0 } });
});
afterAll(async () => {
  await server?.close();
  await s3?.[Symbol.asyncDispose]();
});

const keys = async () => (await s3.blobs.list('registry/', { limit: 1000 })).blobs.map(({ key }) => key);

test('small and large blobs, in pieces and whole, with ranges', async () => {
  const large = random(20_000_000);
  const started = String((await server.call('POST', '/v2/org-a/s3/blobs/uploads/')).headers.location);
  expect((await server.call('PATCH', started, { body: large.subarray(0, 6_000_000) })).headers.range).toBe('0-5999999');
  expect((await server.call('PATCH', started, { body: large.subarray(6_000_000, 12_000_000), headers: { 'content-range': '6000000-11999999' } })).status).toBe(202);
  expect((await server.call('GET', started)).headers.range).toBe('0-11999999');
  expect((await server.call('PUT', `${started}?digest=${sha256(large)}`, { body: large.subarray(12_000_000) })).status).toBe(201);
  expect((await server.call('GET', `/v2/org-a/s3/blobs/${sha256(large)}`)).body.equals(large)).toBe(true);
  expect((await server.call('GET', `/v2/org-a/s3/blobs/${sha256(large)}`, { headers: { range: 'bytes=5999990-6000009' } })).body.equals(large.subarray(5_999_990, 6_000_010))).toBe(true);
  const whole = random(18_000_000);
  expect(await server.push('org-a/s3', whole)).toBe(sha256(whole));
  expect((await server.call('POST', `/v2/org-a/s3/blobs/uploads/?digest=${sha256('other')}`, { body: whole })).status).toBe(400);
  expect((await server.call('HEAD', `/v2/org-a/s3/blobs/${sha256('other')}`)).status).toBe(404);
  expect((await keys()).filter((key) => key.includes('/uploads/'))).toEqual([]);
});

test('images, their tags, mounts, lists and deletions; what nobody names is collected', async () => {
  const digest = await server.pushImage('org-a/image', 'v1', ['layer', random(1000)]);
  const { body } = await server.call('GET', '/v2/org-a/image/manifests/v1');
  for (const tag of ['V2', 'v3']) await server.call('PUT', `/v2/org-a/image/manifests/${tag}`, { body, headers: { 'content-type': MANIFEST } });
  expect((await server.call('GET', '/v2/org-a/image/tags/list?n=2')).json.tags).toEqual(['v1', 'V2']);
  expect((await server.call('GET', '/v2/org-a/image/tags/list?n=2&last=V2')).json.tags).toEqual(['v3']);
  expect((await server.call('POST', `/v2/org-a/mounted/blobs/uploads/?mount=${sha256('layer')}`)).status).toBe(201);
  expect((await server.call('GET', '/v2/_catalog')).json.repositories).toEqual(['org-a/image', 'org-a/mounted', 'org-a/s3']);
  const subject = { mediaType: MANIFEST, digest, size: body.length };
  await server.call('PUT', '/v2/org-a/image/manifests/signature', { body: imageManifest(sha256('{}'), [], { subject }), headers: { 'content-type': MANIFEST } });
  expect((await server.call('GET', `/v2/org-a/image/referrers/${digest}`)).json.manifests).toHaveLength(1);
  expect((await server.call('DELETE', `/v2/org-a/image/manifests/${digest}`)).status).toBe(202);
  expect((await server.call('GET', '/v2/org-a/image/tags/list')).json.tags).toEqual(['signature']);
  await server.registry.remove('org-a/image', 'signature');
  await server.registry.collect();
  expect((await keys()).filter((key) => !/\/uploads\//.test(key))).toEqual([]);
});

test('a store that is gone is 503, and nothing is left half-done', async () => {
  const { origin } = s3;
  const dead = await startRegistry({ blobs: openBlobs({ ...s3.access(), endpoint: origin.replace(/\d+$/, '9') }) });
  try {
    const reply = await dead.call('HEAD', '/v2/org-a/x/manifests/v1');
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1']);
  } finally {
    await dead.close();
  }
}, 60_000);
