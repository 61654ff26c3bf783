import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { imageManifest, MANIFEST, random, sha256, startRegistry, type TestRegistry } from './registry-support.ts';

/** Everything is old at once: what is safe then is safe at any age. */
const NO_PATIENCE = { linkMs: 0, contentMs: 0, uploadMs: 0 };
let server: TestRegistry;
beforeEach(async () => { server = await startRegistry({ patience: NO_PATIENCE }); });
afterEach(() => server?.close());

const keys = async (prefix: string) => (await server.blobs.list(prefix, { limit: 1000 })).blobs.map(({ key }) => key);
const pull = async (repository: string, tag: string) => {
  const manifest = await server.call('GET', `/v2/${repository}/manifests/${tag}`);
  expect(manifest.status).toBe(200);
  for (const { digest } of [manifest.json.config, ...manifest.json.layers] as { digest: string }[]) {
    const blob = await server.call('GET', `/v2/${repository}/blobs/${digest}`);
    expect([blob.status, sha256(blob.body)]).toEqual([200, digest]);
  }
};

describe('collecting', () => {
  test('keeps what a manifest names, removes what none does, and counts it', async () => {
    const kept = await server.pushImage('org-a/kept', 'v1', ['shared', 'own']);
    const gone = await server.pushImage('org-a/gone', 'v1', ['shared', random(1000)]);
    await server.push('org-a/kept', 'never named');
    await server.call('DELETE', `/v2/org-a/gone/manifests/${gone}`);
    // Links: config, shared and the random layer in `gone`, the unnamed blob in `kept`. Contents: the random layer and the unnamed blob.
    expect(await server.registry.collect()).toMatchObject({ links: 4, contents: 2, bytes: 1011 });
    await pull('org-a/kept', kept);
    expect(await keys('repositories/org-a:gone/')).toEqual([]);
    expect((await keys('content/')).length).toBe(3);
    expect((await keys('links/')).length).toBe(3);
    expect(await server.registry.collect()).toMatchObject({ links: 0, contents: 0, bytes: 0 });
  });

  test('keeps what an index leads to, and everything when only a tag went', async () => {
    const digest = await server.pushImage('org-a/index', 'part', ['layer']);
    const body = JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: MANIFEST, digest, size: 1 }] });
    await server.call('PUT', '/v2/org-a/index/manifests/all', { body, headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' } });
    await server.call('DELETE', '/v2/org-a/index/manifests/part');
    await server.registry.collect();
    await pull('org-a/index', digest);
  });

  test('of a dropped repository leaves what others have, at any age of its blobs', async () => {
    const patient = await startRegistry({ patience: { linkMs: 3_600_000, contentMs: 0, uploadMs: 0 } });
    try {
      const kept = await patient.pushImage('org-a/kept', 'v1', ['shared']);
      const dropped = await patient.pushImage('org-a/dropped', 'v1', ['shared', random(1000)]);
      await patient.push('org-a/dropped', 'not named yet');
      await patient.registry.drop('org-a/dropped');
      await patient.registry.drop('org-a/dropped');
      await patient.registry.drop('org-a/never');
      const list = async (prefix: string) => (await patient.blobs.list(prefix, { limit: 1000 })).blobs.map(({ key }) => key);
      expect(await list('repositories/org-a:dropped/')).toEqual([]);
      expect((await patient.call('GET', `/v2/org-a/dropped/manifests/${dropped}`)).status).toBe(404);
      expect(await patient.registry.collect()).toMatchObject({ contents: 2, bytes: 1013 });
      expect((await patient.call('GET', `/v2/org-a/kept/manifests/${kept}`)).status).toBe(200);
      expect((await patient.call('GET', `/v2/org-a/kept/blobs/${sha256('shared')}`)).body.toString()).toBe('shared');
      const names: string[] = [];
      for await (const name of patient.registry.repositories('org-a/')) names.push(name);
      expect(names).toEqual(['org-a/kept']);
    } finally {
      await patient.close();
    }
  });

  test('removes uploads that nobody goes on with', async () => {
    const { headers } = await server.call('POST', '/v2/org-a/left/blobs/uploads/');
    await server.call('PATCH', String(headers.location), { body: random(5000) });
    expect(await server.registry.collect()).toMatchObject({ uploads: 1 });
    expect(await keys('uploads/')).toEqual([]);
    expect((await server.call('PUT', `${String(headers.location)}?digest=${sha256('')}`)).status).toBe(404);
  });

  test('removes content that a crash left without a link, and links that it left on one side', async () => {
    const digest = sha256('orphan');
    const hex = digest.slice(7);
    await server.blobs.put(`content/sha256/${hex.slice(0, 2)}/${hex}`, Readable.from(['orphan']));
    await server.blobs.put(`links/sha256/${hex}/org-a:x`, Readable.from([]));
    expect(await server.registry.collect()).toMatchObject({ contents: 1 });
    expect([...(await keys('content/')), ...(await keys('links/'))]).toEqual([]);
  });

  test('with patience takes nothing that is young', async () => {
    await server.close();
    server = await startRegistry({ patience: { linkMs: 60_000, contentMs: 60_000, uploadMs: 60_000 } });
    await server.push('org-a/young', 'x');
    await server.call('POST', '/v2/org-a/young/blobs/uploads/');
    expect(await server.registry.collect()).toMatchObject({ links: 0, contents: 0, uploads: 0 });
  });

  test('a deletion brings it about by itself', async () => {
    const digest = await server.pushImage('org-a/soon', 'v1', [random(1000)]);
    server.registry.start();
    await server.call('DELETE', `/v2/org-a/soon/manifests/${digest}`);
    while ((await keys('content/')).length > 0) await sleep(100);
    expect(server.events.some((event) => event.type === 'collected' && event.contents === 2)).toBe(true);
  });
});

describe('removing an image', () => {
  test('drops the tag, and the manifest when no other tag leads to it', async () => {
    const digest = await server.pushImage('org-a/image', 'v1', ['layer']);
    const { body } = await server.call('GET', '/v2/org-a/image/manifests/v1');
    await server.call('PUT', '/v2/org-a/image/manifests/v2', { body, headers: { 'content-type': MANIFEST } });
    await server.registry.remove('org-a/image', 'v1');
    expect([(await server.call('GET', '/v2/org-a/image/manifests/v1')).status, (await server.call('GET', `/v2/org-a/image/manifests/${digest}`)).status]).toEqual([404, 200]);
    await server.registry.remove('org-a/image', 'v2');
    await server.registry.remove('org-a/image', 'v2');
    expect((await server.call('GET', `/v2/org-a/image/manifests/${digest}`)).status).toBe(404);
  });
});

/** Layers are given up so soon that some pushes, which dawdle before their manifest, lose them and are told so: then they push again. */
describe('at the same time', () => {
  const LINK_MS = 300;
  beforeEach(async () => {
    await server.close();
    server = await startRegistry({ patience: { linkMs: LINK_MS, contentMs: 3_000, uploadMs: 3_000 } });
  });

  test('pushes, pulls, deletions and collections: what was accepted can be pulled, and in the end nothing is left over', async () => {
    let stop = false;
    const collections = (async () => {
      for (let count = 0; ; count++) {
        if (stop) return count;
        await server.registry.collect();
        await sleep(20);
      }
    })();
    const layers = Array.from({ length: 4 }, (_, i) => `layer ${i} of all`);
    let refused = 0;
    const push = async (repository: string, tag: string, dawdleMs: number): Promise<void> => {
      const config = await server.push(repository, '{}');
      const pushed = [];
      for (const layer of layers) pushed.push({ digest: await server.push(repository, layer), size: layer.length });
      await sleep(dawdleMs);
      const reply = await server.call('PUT', `/v2/${repository}/manifests/${tag}`, { body: imageManifest(config, pushed, { annotations: { tag } }), headers: { 'content-type': MANIFEST } });
      if (reply.status === 201) return;
      expect([reply.status, reply.json.errors[0].code]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
      refused += 1;
      return push(repository, tag, 0);
    };
    const client = async (repository: string, dawdles: boolean) => {
      for (let round = 0; round < 8; round++) {
        await push(repository, `r${round}`, dawdles && round < 4 ? 2 * LINK_MS : 0);
        await pull(repository, `r${round}`);
        const { headers } = await server.call('HEAD', `/v2/${repository}/manifests/r${round}`);
        // Every manifest of the first rounds goes, so that no link is named any more.
        if (round < 5) expect((await server.call('DELETE', `/v2/${repository}/manifests/${String(headers['docker-content-digest'])}`)).status).toBe(202);
      }
    };
    await Promise.all([client('org-a/one', true), client('org-a/two', false), client('org-a/three', true)]);
    stop = true;
    expect(await collections).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(0);
    for (const name of ['one', 'two', 'three']) for (const round of [5, 6, 7]) await pull(`org-a/${name}`, `r${round}`);
    expect((await keys('content/')).length).toBe(5);
    expect((await keys('links/')).length).toBe(15);
    for (const name of ['one', 'two', 'three']) {
      for (const round of [5, 6, 7]) {
        const { headers } = await server.call('HEAD', `/v2/org-a/${name}/manifests/r${round}`);
        await server.call('DELETE', `/v2/org-a/${name}/manifests/${String(headers['docker-content-digest'])}`);
      }
    }
    await sleep(3_100);
    await server.registry.collect();
    expect([...(await keys('content/')), ...(await keys('links/')), ...(await keys('repositories/'))]).toEqual([]);
  });
});
