import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build, sourceOf } from './builds-support.ts';
import { MemoryRegistry, imageOf, tarOf } from './image-bed.ts';
import { bootRunner, type TestRunner } from './support.ts';

const dir = (name: string) => ({ name, type: '5' });

describe('base images from a registry', () => {
  let runner: TestRunner;
  let registry: MemoryRegistry;

  beforeAll(async () => {
    [runner, registry] = await Promise.all([bootRunner(), MemoryRegistry.start()]);
    registry.add('team/multi', imageOf([
      tarOf([dir('a/'), { name: 'a/removed', data: '1' }, { name: 'a/kept', data: 'kept' }, dir('b/'), { name: 'b/hidden', data: '2' }]),
      tarOf([dir('a/'), { name: 'a/.wh.removed' }, dir('b/'), { name: 'b/.wh..wh..opq' }, { name: 'b/new', data: 'new' }]),
      tarOf([{ name: 'top', data: 'top' }]),
    ], { config: { Env: ['BASE=1'], WorkingDir: '/a', Labels: { from: 'base' } } }), '1.2');
  });
  afterAll(async () => {
    await registry?.stop();
    await runner?.destroy();
  });

  const layers = (): string[] => readdirSync(`/proc/${runner.pid}/root${runner.layout.dataDir}/pool/layers`).filter((name) => !name.startsWith('.'));
  const listing = 'cd /copied && find . | sort | tr "\\n" " "';

  it('are shown whole: several layers, removals and hidden directories', async () => {
    const { image, log } = await build(runner, sourceOf(`ARG V=1.2\nFROM ${registry.host}/team/multi:\${V} AS base\nCOPY --from=paddock/slim /etc/hostname /a/more\nFROM paddock/slim\nCOPY --from=base / /copied/\nRUN ${listing}`));
    expect(image.reason).toBeUndefined();
    expect(log).toContain('\n. ./a ./a/kept ./a/more ./b ./b/new ./top ');
    expect(log).toContain(`STEP 1/2: FROM ${registry.host}/team/multi:1.2 AS base\n`);
  });

  it('lend their layers and configuration to what stands on them', async () => {
    const before = layers();
    const { image } = await build(runner, sourceOf(`FROM ${registry.host}/team/multi:1.2\nCOPY --from=paddock/slim /etc/debian_version /a/version\nENV MORE=2`));
    expect(image).toMatchObject({ state: 'ready', config: { workDir: '/a' } });
    expect(layers().filter((layer) => !before.includes(layer))).toHaveLength(1);
  });

  it('are not fetched again while their layers are there', async () => {
    registry.requests.length = 0;
    const { image } = await build(runner, sourceOf(`FROM ${registry.host}/team/multi:1.2\nENV OTHER=3`));
    expect(image.state).toBe('ready');
    expect(registry.downloads(/blobs/)).toBe(1); // the configuration
  });

  it('are opened with credentials that no build sees', async () => {
    registry.before = (request, reply, next) => {
      const [, given] = /^Basic (.*)$/.exec(request.headers.authorization ?? '') ?? [];
      if (given !== undefined && Buffer.from(given, 'base64').toString() === 'robot:s3cret-pass') next();
      else reply.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end('{}');
    };
    const dockerfile = `FROM ${registry.host}/team/multi:1.2 AS base\nFROM paddock/slim\nCOPY --from=base /top /top\nRUN env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; cat /etc/resolv.conf; grep -rs s3cret-pass /etc /run /tmp /root && echo found; true`;
    const { image: refused } = await build(runner, sourceOf(dockerfile));
    expect(refused).toMatchObject({ state: 'failed', reason: expect.stringMatching(/^Line 1: the base image .*team\/multi:1\.2 cannot be had: /) });
    const { image, log } = await build(runner, sourceOf(dockerfile, { auths: [{ host: registry.host, username: 'robot', password: 's3cret-pass' }] }));
    expect(image.reason).toBeUndefined();
    expect(log).not.toMatch(/s3cret-pass(?!  *\/etc)|robot|^found$/m);
    expect(runner.log.join('\n')).not.toContain('s3cret-pass');
    registry.before = (_, __, next) => next();
  });

  it('that are not there, or have no such name, are named with their line', async () => {
    const { image: absent } = await build(runner, sourceOf(`FROM paddock/slim\nCOPY --from=${registry.host}/team/none:1 /x /y`));
    expect(absent).toMatchObject({ state: 'failed', reason: expect.stringMatching(/^Line 2: the base image .*team\/none:1 cannot be had: .*/) });
    const { image: wrong } = await build(runner, sourceOf('FROM Not_A/Name:x:y'));
    expect(wrong).toMatchObject({ state: 'failed', reason: expect.stringMatching(/^Line 1: the base image Not_A\/Name:x:y cannot be had: .*no reference to an image/) });
    const { image: recipe } = await build(runner, sourceOf('FROM paddock/nothing'));
    expect(recipe).toMatchObject({ state: 'failed', reason: expect.stringMatching(/^Line 1: the base image paddock\/nothing is not there/) });
  });

  it('are never the images of others in the same store', async () => {
    const { image: theirs } = await build(runner, sourceOf('FROM paddock/slim\nRUN echo theirs >/theirs', { organizationId: randomUUID() }));
    expect(theirs.state).toBe('ready');
    const reference = `paddock/${theirs.name}`;
    for (const over of [{}, { localBases: { [reference]: theirs.name } }]) {
      const { image } = await build(runner, sourceOf(`FROM ${reference}`, over));
      expect(image).toMatchObject({ state: 'failed', reason: expect.stringMatching(/^There is no image paddock\/build-/) });
    }
  });

  it('of a registry that does not answer may be asked for again', async () => {
    const gone = await MemoryRegistry.start();
    const { host } = gone;
    await gone.stop();
    const { image } = await build(runner, sourceOf(`FROM ${host}/x:1`));
    expect(image).toMatchObject({ state: 'failed', transient: true, reason: expect.stringContaining(`Line 1: the base image ${host}/x:1 cannot be had`) });
  });
});
