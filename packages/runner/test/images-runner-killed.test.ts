import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunnerImage } from '@paddock/contract';
import { MemoryRegistry, imageOf, tarOf } from './image-bed.ts';
import { bootRunner, specOf, type TestRunner } from './support.ts';

const BUSYBOX = readFileSync('/usr/bin/busybox'); // static: the runner takes it for its guest runtime, too

/** An image with a shell and nothing else. */
const tiny = (config: object, passwd: string | null, noise = 0) => imageOf([
  tarOf([
    { name: 'bin', type: '5' }, { name: 'bin/busybox', data: BUSYBOX, mode: 0o755 },
    ...['sh', 'cat', 'id', 'ls', 'stat', 'env'].map((name) => ({ name: `bin/${name}`, type: '2', linkName: 'busybox' })),
    { name: 'tmp', type: '5', mode: 0o1777 },
  ]),
  tarOf([{ name: 'home', type: '5' }, { name: 'home/ann', type: '5', uid: 1000, gid: 1000 }, ...(passwd === null ? [] : [{ name: 'etc/passwd', data: passwd }]), { name: 'noise', data: randomBytes(noise) }]),
], { config });

describe('images of a runner', () => {
  let runner: TestRunner;
  let registry: MemoryRegistry;

  beforeAll(async () => {
    registry = await MemoryRegistry.start();
    runner = await bootRunner();
  });
  afterAll(async () => {
    await runner?.destroy();
    await registry?.stop();
  });

  const put = (name: string, reference: string) => runner.ask<RunnerImage>('PUT', `/v1/images/${name}`, { kind: 'registry', reference, auth: null });
  const pull = async (name: string, reference: string): Promise<RunnerImage> => {
    expect((await put(name, reference)).status).toBe(202);
    for (;;) {
      const { body } = await runner.ask<RunnerImage>('GET', `/v1/images/${name}`);
      if (body.state !== 'preparing') return body;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  /** What is in the runner's pool, which only its own mount namespace shows. */
  const inPool = (path: string): string[] => {
    const pid = runner.pid;
    return execFileSync('nsenter', ['-t', String(pid), '-m', 'ls', '-A', join(runner.layout.dataDir, 'pool', path)], { encoding: 'utf8' }).split('\n').filter(Boolean).sort();
  };

  it('are pulled again after kill -9 in the middle, and nothing of the first try stays', async () => {
    const image = tiny({}, null, 4_000_000);
    const reference = registry.add('killed', image);
    let stalled = Promise.withResolvers<void>();
    registry.before = (message, reply, next) => {
      const blob = image.blobs.get(message.url!.split('/').at(-1)!);
      if (blob === undefined || blob.length < 4_000_000) return next();
      reply.writeHead(200, { 'content-length': blob.length });
      reply.write(blob.subarray(0, 2_000_000), () => stalled.resolve());
    };
    await put('killed', reference);
    await stalled.promise;
    await new Promise((resolve) => setTimeout(resolve, 300)); // some of it is unpacked
    expect(inPool('layers/.builds')).toEqual(['killed']);
    await runner.kill9();
    registry.before = (_, __, next) => next();
    await runner.start();
    await runner.ready();
    expect((await runner.ask('GET', '/v1/images/killed')).status).toBe(404);
    expect(inPool('layers/.builds')).toEqual([]);
    expect(inPool('layers').filter((name) => !name.startsWith('.'))).toHaveLength(1); // of slim
    expect(await pull('killed', reference)).toMatchObject({ state: 'ready' });
    const { id } = await runner.create({ image: 'killed', user: null });
    expect(await runner.output(id, 'stat -c %s /noise')).toBe('4000000');
    await runner.remove(id);
  });

  it('are ready for sandboxes after kill -9 right behind the end of a pull', async () => {
    const reference = registry.add('ready', tiny({}, null, 1_000_000));
    expect(await pull('ready', reference)).toMatchObject({ state: 'ready' });
    await runner.kill9();
    await runner.start();
    expect((await runner.ask<RunnerImage>('GET', '/v1/images/ready')).body).toMatchObject({ state: 'ready' });
    const { id } = await runner.create({ image: 'ready', user: null });
    expect(await runner.output(id, 'id -u')).toBe('0');
    // Deleted, it stays for this sandbox alone.
    expect((await runner.ask('DELETE', '/v1/images/ready')).status).toBe(204);
    expect((await runner.put(specOf({ image: 'ready', user: null }))).status).toBe(404);
    await runner.ask('POST', `/v1/sandboxes/${id}/stop`, { force: true });
    await runner.kill9();
    await runner.start();
    expect((await runner.put(specOf({ id, image: 'ready', user: null }))).status).toBe(200);
    expect(await runner.output(id, 'stat -c %s /noise')).toBe('1000000');
    await runner.remove(id);
    await expect.poll(() => inPool('images').includes('ready.json')).toBe(false);
  });

  it('say who runs their sandboxes', async () => {
    const passwd = 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n';
    const cases = [
      { config: { User: 'ann', WorkingDir: '/tmp', Env: ['FROM_IMAGE=yes'] }, passwd, id: 'uid=1000(ann) gid=1000' },
      { config: { User: '4321:99' }, passwd, id: 'uid=4321 gid=99' },
      { config: { User: '1000' }, passwd: null, id: 'uid=1000 gid=0(root)' },
      { config: {}, passwd: `${passwd}daytona:x:1001:1001::/home/ann:/bin/sh\n`, id: 'uid=1001(daytona) gid=1001' },
      { config: {}, passwd: null, id: 'uid=0(root) gid=0(root)' },
    ];
    for (const [index, { config, passwd: users, id: expected }] of cases.entries()) {
      expect(await pull(`user-${index}`, registry.add(`user-${index}`, tiny(config, users)))).toMatchObject({ state: 'ready' });
      const { id } = await runner.create({ image: `user-${index}`, user: null });
      const seen = (await runner.output(id, 'id')).replace(/\((?:root)?\)/g, '');
      expect(seen, JSON.stringify(config)).toContain(expected.replace(/\((?:root)?\)/g, ''));
      if (index === 0) expect(await runner.output(id, 'pwd; echo $FROM_IMAGE')).toBe('/tmp\nyes');
      await runner.remove(id);
    }
    await pull('nobody', registry.add('nobody', tiny({ User: 'bob' }, passwd)));
    expect(await runner.put(specOf({ image: 'nobody', user: null }))).toMatchObject({ status: 400, body: { code: 'INVALID_SPEC', message: expect.stringContaining('no user "bob"') } });
    expect(await runner.put(specOf({ image: 'nobody', user: 'daytona' }))).toMatchObject({ status: 400 });
    expect((await runner.put(specOf({ image: 'nobody', user: 'ann' }))).status).toBe(200);
  });

  it('are looked up, and refused with a code that says what is wrong', async () => {
    const image = tiny({}, null);
    registry.add('looked', image, 'v1');
    const inspect = (reference: string) => runner.ask<{ code?: string }>('POST', '/v1/registry/inspect', { reference, auth: null });
    expect(await inspect(`${registry.host}/looked:v1`)).toMatchObject({ status: 200, body: { digest: image.digest, reference: `${registry.host}/looked@${image.digest}` } });
    expect(await inspect(`${registry.host}/looked:v2`)).toMatchObject({ status: 404, body: { code: 'IMAGE_NOT_FOUND' } });
    expect(await inspect('Not/A Reference')).toMatchObject({ status: 502, body: { code: 'REGISTRY_FAILED' } });
    expect(await inspect('127.0.0.1:1/nobody')).toMatchObject({ status: 503, body: { code: 'REGISTRY_UNAVAILABLE' } });
    registry.before = (_, reply) => reply.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    expect(await inspect(`${registry.host}/looked:v1`)).toMatchObject({ status: 502, body: { code: 'REGISTRY_FAILED' } });
    registry.before = (_, __, next) => next();
  });

  it.each([
    ['PUT', '/v1/images/Upper', { kind: 'recipe' }, 400], ['PUT', '/v1/images/..%2fx', { kind: 'recipe' }, 400], ['PUT', '/v1/images/x', { kind: 'other' }, 400], ['PUT', '/v1/images/x', [], 400],
    ['PUT', '/v1/images/x', { kind: 'registry', reference: 'a' }, 400], ['PUT', '/v1/images/x', { kind: 'registry', reference: 'a', auth: { host: 'h' } }, 400],
    ['PUT', '/v1/images/x', { kind: 'build', organizationId: 'o', dockerfile: 'FROM x', contexts: ['file:///etc/passwd'], auths: [] }, 400], ['PUT', '/v1/images/x', { kind: 'sandbox', sandboxId: '../x' }, 400],
    ['GET', '/v1/images/never', undefined, 404], ['GET', '/v1/images/never/log', undefined, 404], ['DELETE', '/v1/images/never', undefined, 204], ['POST', '/v1/registry/inspect', {}, 400],
  ])('%s %s %j is %i', async (method, path, body, status) => {
    expect((await runner.ask(method, path, body)).status).toBe(status);
  });

  it('have logs that can be followed to their end', async () => {
    const image = tiny({}, null, 500_000);
    const reference = registry.add('logged', image);
    const go = Promise.withResolvers<void>();
    registry.before = (message, _, next) => void (message.url!.includes('/blobs/') ? go.promise.then(next) : next());
    await put('logged', reference);
    const call = request({ socketPath: runner.layout.runnerSocket, path: '/v1/images/logged/log?follow=true', agent: false }).end();
    const [reply] = await once(call, 'response') as [IncomingMessage];
    let text = '';
    reply.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await expect.poll(() => text).toContain('Looking up');
    expect(reply.complete).toBe(false);
    go.resolve();
    await once(reply, 'end');
    expect(text).toContain('fetched');
    await runner.event((event) => event.type === 'image' && event.image.name === 'logged' && event.image.state === 'ready');
    registry.before = (_, __, next) => next();
  });
});
