import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RegistryClient } from '../src/registry-client/index.ts';
import { MemoryRegistry, imageOf, sha256, tarOf } from './image-bed.ts';

const image = imageOf([tarOf([{ name: 'file', data: Buffer.alloc(300_000, 'x') }])], { compress: (tar) => tar, layerType: 'application/vnd.oci.image.layer.v1.tar' });
const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: image.layerDigests[0]!, size: image.blobs.get(image.layerDigests[0]!)!.length };

describe('a registry that does things its own way', () => {
  let registry: MemoryRegistry;
  let tokens: MemoryRegistry;
  /** What the token service answers. */
  let reply: (count: number) => object;

  beforeEach(async () => {
    [registry, tokens] = await Promise.all([MemoryRegistry.start(), MemoryRegistry.start()]);
    registry.add('team/tool', image, '1');
    tokens.before = (_, answer) => void answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply(tokens.requests.length)));
  });
  afterEach(() => Promise.all([registry.stop(), tokens.stop()]));

  const client = (reference = `${registry.host}/team/tool:1`) => new RegistryClient(reference, null, { insecure: [], mirrors: {} }, AbortSignal.timeout(30_000));
  const ask = (challenge: string, isValid: (token: string) => boolean): void => {
    registry.before = (request, answer, next) => {
      const [, token = ''] = /^Bearer (.*)$/.exec(request.headers.authorization ?? '') ?? [];
      if (isValid(token)) next();
      else answer.writeHead(401, { 'www-authenticate': challenge.replace('TOKENS', tokens.host) }).end();
    };
  };

  it('gives a new token when the old one ends in the middle of a blob', async () => {
    reply = (count) => ({ token: `t${count}` });
    let valid = 't1';
    ask('Bearer realm="http://TOKENS/token"', (token) => token === valid);
    const inner = registry.before;
    let cut = false;
    registry.before = (request, answer, next) => inner(request, answer, () => {
      if (cut || !request.url!.endsWith(layer.digest)) return next();
      cut = true;
      valid = 't2';
      answer.writeHead(200, { 'content-length': layer.size });
      answer.write(image.blobs.get(layer.digest)!.subarray(0, 100_000), () => answer.socket?.end());
    });
    const pulling = client();
    await pulling.resolve();
    const chunks: Buffer[] = [];
    for await (const chunk of pulling.blob(layer)) chunks.push(chunk);
    expect(sha256(Buffer.concat(chunks))).toBe(layer.digest);
    expect(tokens.requests).toHaveLength(2);
    expect(registry.requests.at(-1)).toMatchObject({ range: 'bytes=100000-', authorization: 'Bearer t2' });
  });

  it.each([
    ['token', { token: 'good' }], ['access_token', { access_token: 'good', token_type: 'bearer', expires_in: 60 }], ['both, one of them empty', { token: '', access_token: 'good' }],
    ['a time of life that is nonsense', { token: 'good', expires_in: 'soon', issued_at: 7 }],
  ])('gives tokens as %s', async (_, body) => {
    reply = () => body;
    ask('Bearer realm="http://TOKENS/token",service="s"', (token) => token === 'good');
    await expect(client().resolve()).resolves.toMatchObject({ digest: image.digest });
  });

  it.each([
    ['several challenges in one header', ['Negotiate, Basic realm="a, b", Bearer realm="http://TOKENS/token", service=s']],
    ['a header each', ['Negotiate', 'Bearer realm="http://TOKENS/token"', 'Basic realm="x"']],
    ['odd spelling', ['bearer   Realm="http://TOKENS/token" , SCOPE="repository:team/tool:pull"']],
  ])('challenges in %s', async (_, headers) => {
    reply = () => ({ token: 'good' });
    registry.before = (request, answer, next) => (request.headers.authorization === 'Bearer good' ? next()
      : void answer.writeHead(401, headers.flatMap((header) => ['www-authenticate', header.replace('TOKENS', tokens.host)])).end());
    await expect(client().resolve()).resolves.toMatchObject({ digest: image.digest });
  });

  it.each(['text/plain', 'application/json; charset=utf-8', 'application/octet-stream', ''])('calls a manifest %j', async (type) => {
    for (const version of ['1', image.digest]) registry.put(`/v2/team/tool/manifests/${version}`, type, image.manifest);
    await expect(client().resolve()).resolves.toMatchObject({ digest: image.digest });
  });

  it('has schema 1 alone, with its own type and nothing else to know it by', async () => {
    registry.put('/v2/old/manifests/1', 'application/vnd.docker.distribution.manifest.v1+prettyjws', Buffer.from('{"name":"old","fsLayers":[]}'));
    await expect(client(`${registry.host}/old:1`).resolve()).rejects.toMatchObject({ failure: 'invalid', message: expect.stringContaining('old manifest format (schema 1)') });
  });

  it('lists attestations and images for some processors besides the one for all', async () => {
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    const entry = (platform: object | undefined, digest: string, over = {}) => ({ mediaType: image.mediaType, digest, size: image.manifest.length, ...(platform === undefined ? {} : { platform }), ...over });
    const other = sha256(Buffer.from('x'));
    const manifests = [
      entry({ os: 'unknown', architecture: 'unknown' }, other, { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }), entry({ os: 'linux', architecture, variant: 'v4' }, other),
      entry({ os: 'windows', architecture, 'os.version': '10.0' }, other), entry({ os: 'linux', architecture }, image.digest),
    ];
    registry.put('/v2/team/tool/manifests/list', 'application/vnd.oci.image.index.v1+json', Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
    await expect(client(`${registry.host}/team/tool:list`).resolve()).resolves.toMatchObject({ digest: image.digest });
    const single = [entry({ os: 'linux', architecture, variant: 'v4' }, image.digest)];
    registry.put('/v2/team/tool/manifests/list', 'application/vnd.oci.image.index.v1+json', Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: single })));
    await expect(client(`${registry.host}/team/tool:list`).resolve()).resolves.toMatchObject({ digest: image.digest });
  });

  it('calls layers by Docker\'s types, or not to be distributed', async () => {
    for (const layerType of ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'application/vnd.docker.image.rootfs.diff.tar', 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip']) {
      const odd = imageOf([tarOf([{ name: 'a' }])], { layerType });
      const config = (JSON.parse(odd.manifest.toString()) as { config: object }).config;
      const docker = imageOf([tarOf([{ name: 'a' }])], { layerType, manifest: { mediaType: 'application/vnd.docker.distribution.manifest.v2+json', config: { ...config, mediaType: 'application/vnd.docker.container.image.v1+json' } } });
      registry.add('odd', docker, '1');
      await expect(client(`${registry.host}/odd:1`).resolve(), layerType).resolves.toMatchObject({ digest: docker.digest });
    }
  });

  it('has a configuration without a list of layers', async () => {
    const config = Buffer.from('{"os":"linux","config":{}}');
    registry.put(`/v2/team/bare/blobs/${sha256(config)}`, 'x', config);
    const bare = imageOf([tarOf([{ name: 'a' }])], { manifest: { config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length } } });
    registry.put('/v2/team/bare/manifests/1', bare.mediaType, bare.manifest);
    await expect(client(`${registry.host}/team/bare:1`).resolve()).rejects.toMatchObject({ failure: 'invalid', message: expect.stringMatching(/has 1 layers, but its configuration vouches for 0/) });
  });
});
