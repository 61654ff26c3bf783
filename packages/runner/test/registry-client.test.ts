import { lookup } from 'node:dns/promises';
import { hostname } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RegistryAuth } from '@paddock/contract';
import { RegistryClient, type RegistrySettings } from '../src/registry-client/index.ts';
import { MemoryRegistry, imageOf, sha256, tarOf } from './image-bed.ts';

const image = imageOf([tarOf([{ name: 'file', data: 'content' }])], { config: { Env: ['A=1'] } });
const ann = (host: string): RegistryAuth => ({ host, username: 'ann', password: 'secret' });
const basic = `Basic ${Buffer.from('ann:secret').toString('base64')}`;

describe('a registry client', () => {
  let registry: MemoryRegistry;
  let other: MemoryRegistry;

  beforeEach(async () => {
    registry = await MemoryRegistry.start();
    other = await MemoryRegistry.start();
    registry.add('team/tool', image, '1');
  });
  afterEach(() => Promise.all([registry.stop(), other.stop()]));

  const client = (reference: string, auth: RegistryAuth | null = null, settings: Partial<RegistrySettings> = {}, attempts = 5) =>
    new RegistryClient(reference, auth, { insecure: [], mirrors: {}, ...settings }, AbortSignal.timeout(30_000), { attempts });
  const tool = (): string => `${registry.host}/team/tool:1`;

  /** Refuses whoever does not send `authorization`, and asks for it with `challenge`. */
  const guard = (challenge: string, authorization: string): void => {
    registry.before = (request, reply, next) => {
      if (!request.url!.startsWith('/v2/') || request.headers.authorization === authorization) return next();
      reply.writeHead(401, { 'www-authenticate': challenge, 'content-type': 'application/json' }).end('{"errors":[{"message":"who are you"}]}');
    };
  };

  it('finds manifest and configuration, and says the reference by digest', async () => {
    const found = await client(tool()).resolve();
    expect(found).toMatchObject({ reference: `${registry.host}/team/tool@${image.digest}`, digest: image.digest, document: { config: { env: ['A=1'] }, diffIds: image.diffIds } });
    expect(await client(found.reference).inspect()).toEqual({ reference: found.reference, digest: image.digest, sizeBytes: found.sizeBytes });
  });

  it('fetches a token with the credentials and the scope it needs', async () => {
    const seen: string[] = [];
    other.before = (request, reply) => {
      seen.push(`${request.url} ${request.headers.authorization}`);
      reply.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token":"t0k"}');
    };
    guard(`Basic realm="x", Bearer realm="http://${other.host}/token?a=1",service="the service",scope="repository:known/as:pull,push"`, 'Bearer t0k');
    await client(tool(), ann(registry.host)).resolve();
    expect(seen).toEqual([`/token?a=1&service=the+service&scope=repository%3Aknown%2Fas%3Apull&account=ann ${basic}`]);
    seen.length = 0;
    await client(tool()).resolve();
    expect(seen).toEqual(['/token?a=1&service=the+service&scope=repository%3Aknown%2Fas%3Apull undefined']);
  });

  it('sends Basic credentials when asked, and only those that are for this host', async () => {
    guard('Basic realm="r"', basic);
    await client(tool(), ann(registry.host)).resolve();
    expect(registry.requests[0]!.authorization).toBeUndefined();
    registry.requests.length = 0;
    await expect(client(tool(), ann('example.com')).resolve()).rejects.toMatchObject({ failure: 'refused', message: expect.stringContaining('without credentials (who are you)') });
    expect(registry.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('says that the credentials are refused', async () => {
    guard('Basic realm="r"', 'other');
    await expect(client(tool(), ann(registry.host)).resolve()).rejects.toMatchObject({ failure: 'refused', message: expect.stringContaining('with the credentials of "ann"') });
    other.before = (_, reply) => reply.writeHead(401).end();
    guard(`Bearer realm="http://${other.host}/token"`, 'other');
    await expect(client(tool(), ann(registry.host)).resolve()).rejects.toMatchObject({ failure: 'refused' });
  });

  it.each([['no token', '{}'], ['no JSON', 'token'], ['a token that breaks a header', '{"token":"a\\r\\nb"}'], ['too much', `{"token":"${'a'.repeat(100_000)}"}`]])('refuses a token service that answers with %s', async (_, body) => {
    other.before = (__, reply) => reply.writeHead(200).end(body);
    guard(`Bearer realm="http://${other.host}/token"`, 'other');
    await expect(client(tool()).resolve()).rejects.toMatchObject({ failure: 'invalid' });
  });

  it.each([['ftp://127.0.0.1/'], ['nothing'], ['http://169.254.169.254/latest/meta-data']])('asks no token service at %s', async (realm) => {
    guard(`Bearer realm="${realm}"`, 'other');
    await expect(client(tool()).resolve()).rejects.toMatchObject({ failure: 'invalid' });
  });

  it('leaves credentials behind when a blob is elsewhere', async () => {
    guard('Basic realm="r"', basic);
    const before = registry.before;
    registry.before = (request, reply, next) => (request.url!.includes('/blobs/') && request.headers.authorization === basic
      ? void reply.writeHead(307, { location: `http://${other.host}${request.url}` }).end() : before(request, reply, next));
    other.add('team/tool', image);
    await client(tool(), ann(registry.host)).resolve();
    expect(other.requests).toHaveLength(1);
    expect(other.requests[0]!.authorization).toBeUndefined();
  });

  it('ends where redirects go in circles, to addresses of other machines\' own, or to no URL', async () => {
    for (const [location, failure] of [['/v2/x', /circles/], ['http://169.254.169.254/', /no registry can be/], ['gopher://x/', /no URL/], ['http://[::ffff:169.254.169.254]/', /no registry can be/]] as const) {
      registry.before = (_, reply) => reply.writeHead(302, { location }).end();
      await expect(client(tool(), null, {}, 1).resolve(), location).rejects.toThrow(failure);
    }
  });

  it('speaks plain http to this machine and to registries that are named for it alone', async () => {
    await expect(client('registry.invalid/tool', null, {}, 1).resolve()).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringMatching(/^registry\.invalid /) });
    const port = Number(registry.host.split(':')[1]);
    await expect(client(`127.0.0.1:${port}/team/tool:1`).resolve()).resolves.toBeDefined();
    await expect(client(`localhost:${port}/team/tool:1`).resolve()).resolves.toBeDefined();
  });

  it('refuses a name that leads to this machine, unless the settings name it', async ({ skip }) => {
    const own = hostname().toLowerCase();
    const addresses = await lookup(own, { all: true }).catch(() => []);
    if (addresses.length === 0 || !addresses.every(({ address }) => /^127\.|^::1$/.test(address))) {
      console.log(`registry-client: skipped, the host name ${own} does not lead to the loopback interface`);
      skip();
    }
    const reference = `${own}:${registry.host.split(':')[1]}/team/tool:1`;
    await expect(client(reference).resolve()).rejects.toMatchObject({ failure: 'invalid', message: expect.stringContaining('of this machine') });
    await expect(client(reference, null, { insecure: [`${own}:1`] }).resolve()).rejects.toMatchObject({ failure: 'invalid' });
    expect(registry.requests).toEqual([]);
    if (addresses.some(({ address }) => address === '127.0.0.1')) await client(reference, null, { insecure: [reference.split('/')[0]!] }).resolve();
  });

  it('asks mirrors first, without credentials, and the registry itself where they have nothing', async () => {
    const mirrors = { [registry.host]: ['http://127.0.0.1:1', `http://${other.host}`] };
    await client(tool(), ann(registry.host), { mirrors }).resolve();
    expect(other.count(/manifests/)).toBe(1);
    expect(registry.count(/manifests/)).toBe(1);
    other.add('team/tool', image, '1');
    registry.requests.length = 0;
    await client(tool(), ann(registry.host), { mirrors }).resolve();
    expect(registry.requests).toEqual([]);
    expect(other.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('tries again after 429 and 503, as long as it is told to wait, and no longer than is sensible', async () => {
    const at: number[] = [];
    const answers = [{ status: 429, headers: { 'retry-after': '2' } }, { status: 503, headers: {} }];
    registry.before = (_, reply, next) => {
      at.push(Date.now());
      const answer = answers.shift();
      if (answer === undefined) return next();
      reply.writeHead(answer.status, answer.headers).end();
    };
    await client(tool()).resolve();
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(1_990);
    answers.push({ status: 429, headers: { 'retry-after': '3600' } });
    await expect(client(tool()).resolve()).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringContaining('429') });
    answers.push({ status: 500, headers: {} }, { status: 500, headers: {} });
    await expect(client(tool(), null, {}, 2).resolve()).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringContaining('500') });
  });

  it('says what does not exist, with the registry\'s own words', async () => {
    await expect(client(`${registry.host}/team/none:1`).resolve()).rejects.toMatchObject({ failure: 'not-found', message: `${registry.host} has no ${registry.host}/team/none:1 (not known here)` });
  });

  it.each<[string, (registry: MemoryRegistry, other: MemoryRegistry) => void]>([
    ['answers nothing', (it) => { it.before = () => undefined; }],
    ['stops in the middle of a manifest', (it) => { it.before = (_, reply) => void reply.writeHead(200, { 'content-length': 100 }).write('{'); }],
    ['stops in the middle of a blob', (it) => { it.before = (request, reply, next) => (request.url!.includes('blobs') ? void reply.writeHead(200).write('x') : next()); }],
    ['has a token service that answers nothing', (it, service) => {
      service.before = () => undefined;
      it.before = (_, reply) => reply.writeHead(401, { 'www-authenticate': `Bearer realm="http://${service.host}/"` }).end();
    }],
  ])('gives up on a registry that %s', async (_, spoil) => {
    spoil(registry, other);
    const options = { attempts: 1, silenceMs: 100 };
    await expect(new RegistryClient(tool(), null, { insecure: [], mirrors: {} }, AbortSignal.timeout(30_000), options).resolve()).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringMatching(/0\.1 seconds/) });
  });

  it('ends at once when it is not wanted any more', async () => {
    registry.before = () => undefined; // never answers
    const stop = new AbortController();
    const asked = new RegistryClient(tool(), null, { insecure: [], mirrors: {} }, stop.signal).resolve();
    setTimeout(() => stop.abort(new Error('enough')), 100);
    await expect(asked).rejects.toThrow('enough');
  });

  describe('with manifests', () => {
    const list = (manifests: object[], type = 'application/vnd.oci.image.index.v1+json'): string => {
      const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests }));
      for (const version of ['list', sha256(body)]) registry.put(`/v2/team/tool/manifests/${version}`, type, body);
      return `${registry.host}/team/tool:list`;
    };
    const entry = (architecture: string, over = {}) => ({ mediaType: image.mediaType, digest: image.digest, size: image.manifest.length, platform: { os: 'linux', architecture }, ...over });
    const here = process.arch === 'x64' ? 'amd64' : process.arch;

    it('chooses this machine\'s from a list, also from a list in a list', async () => {
      const wrong = { digest: sha256(Buffer.from('x')) };
      expect(await client(list([entry('unknown', { ...wrong, platform: { os: 'unknown', architecture: 'unknown' } }), entry('s390x', wrong), entry(here)])).resolve()).toMatchObject({ digest: image.digest });
      const inner = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry(here)] }));
      registry.put(`/v2/team/tool/manifests/${sha256(inner)}`, 'application/vnd.docker.distribution.manifest.list.v2+json', inner);
      expect(await client(list([entry(here, { digest: sha256(inner), size: inner.length })])).resolve()).toMatchObject({ digest: image.digest });
    });

    it('says for what platforms there are images when none fits', async () => {
      await expect(client(list([entry('s390x'), entry('arm', { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } })])).resolve()).rejects.toMatchObject({ failure: 'invalid', message: expect.stringContaining('it is for linux/s390x, linux/arm/v7') });
      registry.add('team/foreign', imageOf([], { architecture: 's390x' }));
      await expect(client(`${registry.host}/team/foreign`).resolve()).rejects.toThrow(/is for linux\/s390x; this machine is linux/);
    });

    const odd = (over: object, options = {}): string => {
      registry.add('odd', imageOf([tarOf([])], { manifest: over, ...options }));
      return `${registry.host}/odd`;
    };
    it.each([
      ['schema 1', { schemaVersion: 1 }, /old manifest format/],
      ['another version', { schemaVersion: 3 }, /no manifest that is understood/],
      ['no layers', { layers: null }, /without layers/],
      ['an artifact', { config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest: sha256(Buffer.alloc(0)), size: 2 } }, /artifact of the type/],
      ['a huge configuration', { config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(Buffer.alloc(0)), size: 1e9 } }, /configuration of 1000000000 bytes/],
      ['a digest that is none', { layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: 'sha256:../../x', size: 1 }] }, /descriptor that is wrong/],
      ['a negative size', { layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: sha256(Buffer.alloc(0)), size: -1 }] }, /descriptor that is wrong/],
      ['an encrypted layer', { layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted', digest: sha256(Buffer.alloc(0)), size: 1 }] }, /encrypted/],
      ['a foreign layer', { layers: [{ mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', digest: sha256(Buffer.alloc(0)), size: 1 }] }, /kept elsewhere/],
      ['an unknown layer', { layers: [{ mediaType: 'text/plain', digest: sha256(Buffer.alloc(0)), size: 1 }] }, /unknown type/],
      ['too many layers', { layers: Array.from({ length: 600 }, () => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: sha256(Buffer.alloc(0)), size: 1 })) }, /600 layers/],
      ['more layers than the configuration knows', { layers: [] }, /vouches for 1/],
    ])('refuses %s', async (_, over, message) => {
      await expect(client(odd(over)).resolve()).rejects.toMatchObject({ failure: 'invalid', message: expect.stringMatching(message) });
    });

    it.each([['no JSON', 'nothing'], ['a text', '"x"'], ['a list', '[]'], ['nothing', '']])('refuses a manifest that is %s', async (_, body) => {
      registry.put('/v2/raw/manifests/latest', image.mediaType, Buffer.from(body));
      await expect(client(`${registry.host}/raw`).resolve()).rejects.toMatchObject({ failure: 'invalid' });
    });

    it('refuses one that is not what its digest says, and one without end', async () => {
      registry.put(`/v2/team/tool/manifests/${image.digest}`, image.mediaType, Buffer.concat([image.manifest, Buffer.from(' ')]));
      await expect(client(`${registry.host}/team/tool@${image.digest}`).resolve()).rejects.toThrow(/another manifest/);
      registry.before = (_, reply) => {
        reply.writeHead(200, { 'content-type': image.mediaType });
        const more = (): boolean => { while (!reply.destroyed && reply.write(Buffer.alloc(65_536, 32))) { /* on */ } return true; };
        reply.on('drain', more);
        more();
      };
      await expect(client(tool()).resolve()).rejects.toThrow(/more than 4194304 bytes/);
    });

    it('refuses a configuration that is not what its digest says', async () => {
      const config = (JSON.parse(image.manifest.toString()) as { config: { digest: string; size: number } }).config;
      registry.put(`/v2/team/tool/blobs/${config.digest}`, 'x', Buffer.alloc(config.size, 32));
      await expect(client(tool()).resolve()).rejects.toThrow(/another configuration/);
      registry.put(`/v2/team/tool/blobs/${config.digest}`, 'x', Buffer.alloc(config.size + 1, 32));
      await expect(client(tool()).resolve()).rejects.toThrow(/more than/);
    });
  });
});
