import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { imageManifest, INDEX, MANIFEST, sha256, startRegistry, type Reply, type TestRegistry } from './registry-support.ts';

let server: TestRegistry;
beforeAll(async () => { server = await startRegistry(); });
afterAll(() => server?.close());

const DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';
const LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const code = (reply: Reply) => reply.json?.errors?.[0]?.code as string | undefined;
const put = (repository: string, reference: string, body: Buffer | string, type: string | null = MANIFEST) =>
  server.call('PUT', `/v2/${repository}/manifests/${reference}`, { body, headers: type === null ? {} : { 'content-type': type } });
const get = (repository: string, reference: string, accept?: string) =>
  server.call('GET', `/v2/${repository}/manifests/${reference}`, { headers: accept === undefined ? {} : { accept } });
const index = (manifests: unknown[], mediaType = INDEX) => Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));

describe('storing', () => {
  test('byte for byte, by tag and digest, with HEAD and ETag', async () => {
    const config = await server.push('org-a/bytes', '{}');
    const text = `${imageManifest(config, []).toString()}   \n`;
    const stored = await put('org-a/bytes', 'v1', text);
    expect([stored.status, stored.headers.location, stored.headers['docker-content-digest']]).toEqual([201, `/v2/org-a/bytes/manifests/${sha256(text)}`, sha256(text)]);
    for (const reference of ['v1', sha256(text)]) {
      const reply = await get('org-a/bytes', reference);
      expect([reply.status, reply.body.toString(), reply.headers['content-type'], reply.headers['docker-content-digest']]).toEqual([200, text, MANIFEST, sha256(text)]);
      const head = await server.call('HEAD', `/v2/org-a/bytes/manifests/${reference}`);
      expect([head.status, head.body.length, head.headers['content-length']]).toEqual([200, 0, String(text.length)]);
      expect((await server.call('GET', `/v2/org-a/bytes/manifests/${reference}`, { headers: { 'if-none-match': String(reply.headers.etag) } })).status).toBe(304);
    }
  });

  test('by a digest that is its own, sha512 too; another one is 400', async () => {
    const config = await server.push('org-a/digests', '{}');
    const body = imageManifest(config, []);
    const sha512 = `sha512:${createHash('sha512').update(body).digest('hex')}`;
    expect((await put('org-a/digests', sha512, body)).headers['docker-content-digest']).toBe(sha512);
    expect((await get('org-a/digests', sha512)).body.equals(body)).toBe(true);
    expect(code(await put('org-a/digests', sha256('other'), body))).toBe('DIGEST_INVALID');
    expect((await server.call('GET', '/v2/org-a/digests/tags/list')).json.tags).toEqual([]);
  });

  test('only when everything it names is in the repository', async () => {
    const config = await server.push('org-a/whole', '{}');
    await server.push('org-a/elsewhere', 'layer');
    const missing = await put('org-a/whole', 'v1', imageManifest(config, [{ digest: sha256('layer'), size: 5 }]));
    expect([missing.status, code(missing), missing.json.errors[0].detail.digests]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN', [sha256('layer')]]);
    expect(code(await put('org-a/whole', 'v1', index([{ mediaType: MANIFEST, digest: sha256('none'), size: 1 }]), INDEX))).toBe('MANIFEST_BLOB_UNKNOWN');
    expect((await get('org-a/whole', 'v1')).status).toBe(404);
    await server.push('org-a/whole', 'layer');
    expect((await put('org-a/whole', 'v1', imageManifest(config, [{ digest: sha256('layer'), size: 5 }]))).status).toBe(201);
  });

  test('layers that are fetched from elsewhere need not be here', async () => {
    const config = await server.push('org-a/foreign', '{}');
    const body = JSON.stringify({
      schemaVersion: 2, mediaType: DOCKER, config: { mediaType: 'application/vnd.docker.container.image.v1+json', digest: config, size: 2 },
      layers: [{ mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', digest: sha256('windows'), size: 7, urls: ['https://elsewhere.test/x'] }],
    });
    expect((await put('org-a/foreign', 'v1', body, DOCKER)).status).toBe(201);
  });

  test('what is no manifest is 400 and says why', async () => {
    const config = await server.push('org-a/bad', '{}');
    const good = JSON.parse(imageManifest(config, []).toString()) as Record<string, unknown>;
    const cases: ReadonlyArray<readonly [unknown, string | null, RegExp]> = [
      ['', MANIFEST, /no JSON object/], ['[]', MANIFEST, /no JSON object/], ['{', MANIFEST, /no JSON object/], ['null', MANIFEST, /no JSON object/],
      [{ ...good, schemaVersion: 1 }, MANIFEST, /schemaVersion/], [{ ...good, mediaType: 5 }, MANIFEST, /mediaType/],
      [{ ...good, mediaType: DOCKER }, MANIFEST, /Content-Type is/], [{ ...good, mediaType: undefined }, null, /neither/],
      [{ ...good, mediaType: undefined }, 'application/json', /takes/], [{ ...good, config: undefined }, MANIFEST, /config needs a digest/],
      [{ ...good, config: { digest: config, size: 2 } }, MANIFEST, /config needs a mediaType/], [{ ...good, config: { digest: config, size: -1, mediaType: 'x' } }, MANIFEST, /config needs a size/],
      [{ ...good, layers: {} }, MANIFEST, /layers must be a list/], [{ ...good, layers: [{ digest: '../x', size: 1, mediaType: 'x' }] }, MANIFEST, /layers\[0\] needs a digest/],
      [{ ...good, layers: Array.from({ length: 5000 }, () => ({})) }, MANIFEST, /more than 4096/], [{ ...good, subject: 'x' }, MANIFEST, /subject needs a digest/],
      [{ schemaVersion: 1, signatures: [] }, 'application/vnd.docker.distribution.manifest.v1+prettyjws', /takes/],
    ];
    for (const [document, type, reason] of cases) {
      const reply = await put('org-a/bad', 'v1', typeof document === 'string' ? document : JSON.stringify(document), type);
      expect([reply.status, code(reply)], reply.body.toString()).toEqual([400, 'MANIFEST_INVALID']);
      expect(reply.json.errors[0].message).toMatch(reason);
    }
  });

  test('larger than 4 MiB is 413, announced or not, and the connection is not cut before the answer', async () => {
    const big = Buffer.alloc(4 * 1024 * 1024 + 1, 0x20);
    const announced = await put('org-a/big', 'v1', big);
    expect([announced.status, code(announced)]).toEqual([413, 'SIZE_INVALID']);
    const chunked = await server.call('PUT', '/v2/org-a/big/manifests/v1', { body: big, headers: { 'content-type': MANIFEST, 'transfer-encoding': 'chunked' } });
    expect([chunked.status, code(chunked)]).toEqual([413, 'SIZE_INVALID']);
  });

  test('tags that are none are 400 for writing and 404 for reading', async () => {
    const config = await server.push('org-a/tagnames', '{}');
    for (const tag of ['.dot', '-dash', 'a'.repeat(129), 'ä', 'a b', 'a:b', '']) {
      const reply = await put('org-a/tagnames', encodeURIComponent(tag), imageManifest(config, []));
      expect([reply.status, code(reply)], tag).toEqual([400, 'MANIFEST_INVALID']);
      expect((await get('org-a/tagnames', encodeURIComponent(tag))).status, tag).toBe(404);
    }
    for (const tag of ['_', 'A.b-C_9', 'a'.repeat(128)]) expect((await put('org-a/tagnames', tag, imageManifest(config, []))).status, tag).toBe(201);
  });
});

describe('negotiating', () => {
  test('a client without indexes gets the image for linux/amd64; one that takes neither gets 404', async () => {
    const digest = await server.pushImage('org-a/list', 'amd64', ['layer']);
    const other = await server.pushImage('org-a/list', 'arm64', ['other']);
    const body = index([
      { mediaType: MANIFEST, digest: other, size: 1, platform: { os: 'linux', architecture: 'arm64' } }, { mediaType: MANIFEST, digest, size: 1, platform: { os: 'linux', architecture: 'amd64' } },
    ], LIST);
    await put('org-a/list', 'v1', body, LIST);
    for (const accept of [undefined, '*/*', LIST, `${MANIFEST}, ${LIST};q=0.5`, 'application/json', 'text/html']) {
      expect((await get('org-a/list', 'v1', accept)).headers['content-type'], accept).toBe(LIST);
    }
    const image = await get('org-a/list', 'v1', MANIFEST);
    expect([image.headers['content-type'], image.headers['docker-content-digest']]).toEqual([MANIFEST, digest]);
    expect(code(await get('org-a/list', 'v1', DOCKER))).toBe('MANIFEST_UNKNOWN');
    expect((await get('org-a/list', sha256(body), MANIFEST)).headers['content-type']).toBe(LIST);
  });
});

describe('tags', () => {
  test('come in order, in pages that link to the next', async () => {
    const config = await server.push('org-a/tags', '{}');
    const all = ['1.0', '1.10', '1.9', '_x', 'A', 'a', 'a-1', 'A.2', 'a1', 'B', 'b', 'V1', 'v1', 'v10', 'v2', 'Z'];
    for (const tag of all.toReversed()) await put('org-a/tags', tag, imageManifest(config, []));
    const list = async (query: string) => server.call('GET', `/v2/org-a/tags/tags/list${query}`);
    expect((await list('')).json).toEqual({ name: 'org-a/tags', tags: all });
    expect((await list('')).headers.link).toBeUndefined();
    const seen: string[] = [];
    let path: string | undefined = '?n=3';
    while (path !== undefined) {
      const reply: Reply = await list(path);
      expect(reply.json.tags.length).toBeLessThanOrEqual(3);
      seen.push(...(reply.json.tags as string[]));
      const link = /^<\/v2\/org-a\/tags\/tags\/list(\?[^>]*)>; rel="next"$/.exec(String(reply.headers.link ?? ''));
      path = link?.[1];
    }
    expect(seen).toEqual(all);
    expect((await list('?n=0')).json.tags).toEqual([]);
    expect((await list('?last=v1')).json.tags).toEqual(['v10', 'v2', 'Z']);
    expect((await list('?last=aa&n=1')).json.tags).toEqual(['B']);
    expect((await list('?last=zzz')).json.tags).toEqual([]);
    expect((await list('?n=1000000')).json.tags).toEqual(all);
    for (const query of ['?n=-1', '?n=x', '?n=1e3', `?last=${'a'.repeat(300)}`, '?last=%00']) expect([(await list(query)).status, code(await list(query))], query).toEqual([400, 'UNSUPPORTED']);
  });

  test('of a repository that does not exist are 404', async () => {
    expect(code(await server.call('GET', '/v2/org-a/nothing/tags/list'))).toBe('NAME_UNKNOWN');
    await server.push('org-a/only-blobs', 'x');
    expect(code(await server.call('GET', '/v2/org-a/only-blobs/tags/list'))).toBe('NAME_UNKNOWN');
  });

  test('a tag moves; the manifest it left stays reachable by digest', async () => {
    const first = await server.pushImage('org-a/moving', 'v1', ['one']);
    const second = await server.pushImage('org-a/moving', 'v1', ['two']);
    expect((await get('org-a/moving', 'v1')).headers['docker-content-digest']).toBe(second);
    expect((await get('org-a/moving', first)).status).toBe(200);
  });
});

describe('deleting', () => {
  test('a tag alone leaves the manifest; a digest takes all its tags', async () => {
    const digest = await server.pushImage('org-a/delete', 'v1', ['layer']);
    const { body } = await get('org-a/delete', digest);
    for (const tag of ['v2', 'v3']) await put('org-a/delete', tag, body);
    const other = await server.pushImage('org-a/delete', 'other', ['x']);
    expect((await server.call('DELETE', '/v2/org-a/delete/manifests/v1')).status).toBe(202);
    expect((await server.call('DELETE', '/v2/org-a/delete/manifests/v1')).status).toBe(404);
    expect((await get('org-a/delete', digest)).status).toBe(200);
    expect((await server.call('DELETE', `/v2/org-a/delete/manifests/${digest}`)).status).toBe(202);
    expect((await server.call('GET', '/v2/org-a/delete/tags/list')).json.tags).toEqual(['other']);
    expect([(await get('org-a/delete', digest)).status, (await get('org-a/delete', 'v2')).status, (await get('org-a/delete', other)).status]).toEqual([404, 404, 200]);
  });
});

describe('referrers', () => {
  test('name their subject, which need not exist yet, and are found by it and by type', async () => {
    const config = await server.push('org-a/signed', '{}');
    const subject = { mediaType: MANIFEST, digest: sha256('later'), size: 5 };
    const bodies = [
      imageManifest(config, [], { subject, artifactType: 'application/x.sbom', annotations: { by: 'us', nonsense: 5 } }),
      imageManifest(config, [], { subject, note: 2 }),
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [], subject, artifactType: 'application/x.sbom' })),
    ];
    for (const [position, body] of bodies.entries()) {
      const reply = await put('org-a/signed', sha256(body), body, position === 2 ? INDEX : MANIFEST);
      expect([reply.status, reply.headers['oci-subject']]).toEqual([201, subject.digest]);
    }
    const list = (query = '') => server.call('GET', `/v2/org-a/signed/referrers/${subject.digest}${query}`);
    const all = await list();
    expect([all.status, all.headers['content-type'], all.json.mediaType, all.headers['oci-filters-applied']]).toEqual([200, INDEX, INDEX, undefined]);
    expect(all.json.manifests.map(({ digest }: { digest: string }) => digest).sort()).toEqual(bodies.map((body) => sha256(body)).sort());
    expect(all.json.manifests.find(({ digest }: { digest: string }) => digest === sha256(bodies[0]!))).toEqual({
      mediaType: MANIFEST, digest: sha256(bodies[0]!), size: bodies[0]!.length, artifactType: 'application/x.sbom', annotations: { by: 'us' },
    });
    expect(all.json.manifests.find(({ digest }: { digest: string }) => digest === sha256(bodies[1]!)).artifactType).toBe('application/vnd.oci.image.config.v1+json');
    const filtered = await list('?artifactType=application/x.sbom');
    expect([filtered.json.manifests.length, filtered.headers['oci-filters-applied']]).toEqual([2, 'artifactType']);
    await server.call('DELETE', `/v2/org-a/signed/manifests/${sha256(bodies[0]!)}`);
    expect((await list()).json.manifests.length).toBe(2);
  });

  test('of nothing are an empty index, of nonsense 400', async () => {
    expect((await server.call('GET', `/v2/org-a/signed/referrers/${sha256('nobody')}`)).json).toEqual({ schemaVersion: 2, mediaType: INDEX, manifests: [] });
    expect((await server.call('GET', `/v2/org-a/never/referrers/${sha256('nobody')}`)).json.manifests).toEqual([]);
    expect(code(await server.call('GET', '/v2/org-a/signed/referrers/nonsense'))).toBe('DIGEST_INVALID');
  });

  test('come in pages of bounded size', async () => {
    const config = await server.push('org-a/many', '{}');
    const subject = { mediaType: MANIFEST, digest: sha256('many'), size: 5 };
    const digests: string[] = [];
    for (let i = 0; i < 5; i++) {
      const body = imageManifest(config, [], { subject, annotations: { padding: String(i).repeat(400_000) } });
      digests.push(sha256(body));
      expect((await put('org-a/many', sha256(body), body)).status).toBe(201);
    }
    const seen: string[] = [];
    let path: string | undefined = `/v2/org-a/many/referrers/${subject.digest}`;
    let pages = 0;
    while (path !== undefined) {
      const reply: Reply = await server.call('GET', path);
      expect(reply.body.length).toBeLessThan(2 * 1024 * 1024);
      seen.push(...reply.json.manifests.map(({ digest }: { digest: string }) => digest));
      path = /^<([^>]+)>; rel="next"$/.exec(String(reply.headers.link ?? ''))?.[1];
      pages += 1;
    }
    expect(seen).toEqual(digests.toSorted());
    expect(pages).toBe(3);
  });
});
