import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build, sourceOf } from './builds-support.ts';
import { MemoryRegistry, imageOf, tarOf, type TestEntry } from './image-bed.ts';
import { bootRunner, type TestRunner } from './support.ts';

/** A root file system with nothing but a shell: this machine's dash and what it is linked with. */
function shellRoot(): TestEntry[] {
  const libraries = [...execFileSync('ldd', ['/bin/dash'], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
  const files = [['/bin/sh', '/bin/dash'], ...libraries.map((path) => [path, path])] as const;
  const dirs = new Set(files.flatMap(([path]) => path.split('/').slice(1, -1).map((_, index, names) => `${names.slice(0, index + 1).join('/')}/`)));
  return [
    ...[...dirs, 'tmp/', 'etc/'].map((name): TestEntry => ({ name, type: '5', mode: name === 'tmp/' ? 0o1777 : 0o755 })),
    ...files.map(([path, source]): TestEntry => ({ name: path.slice(1), data: readFileSync(realpathSync(source)), mode: 0o755 })),
  ];
}

describe('what a base image says for builds on it', () => {
  let runner: TestRunner;
  let registry: MemoryRegistry;

  beforeAll(async () => {
    [runner, registry] = await Promise.all([bootRunner(), MemoryRegistry.start()]);
    registry.add('team/other', imageOf([tarOf([{ name: 'note', data: 'from another image\n' }])]), '1');
    registry.add('team/base', imageOf([tarOf(shellRoot())], { config: {
      Env: ['PATH=/bin'], User: '1000:1000', Shell: ['/bin/sh', '-f', '-c'], StopSignal: 'SIGINT', ExposedPorts: { '80/tcp': {} }, Volumes: { '/data': {} },
      Healthcheck: { Test: ['CMD', 'true'], Interval: 30e9, Retries: 3 },
      OnBuild: ['ARG WHAT=trigger', `COPY --link --from=${registry.host}/team/other:1 /note /tmp/note`, 'RUN [ -w / ] || echo "$WHAT with $- and $(read -r line </tmp/note; echo $line)"', 'ENV TRIGGERED=yes'],
    } }), '1');
    registry.add('team/bad', imageOf([tarOf(shellRoot())], { config: { OnBuild: ['COPY --parents a /'] } }), '1');
  });
  afterAll(async () => {
    await registry?.stop();
    await runner?.destroy();
  });

  const record = (name: string): { readonly config: unknown } =>
    JSON.parse(readFileSync(`/proc/${runner.pid}/root${runner.layout.dataDir}/pool/images/${name}.json`, 'utf8')) as { config: unknown };

  it('is done: its triggers run, with the images that they need, by its shell and as its user', async () => {
    const { image, log } = await build(runner, sourceOf(`FROM ${registry.host}/team/base:1\nRUN echo "step with $-, $TRIGGERED"`));
    expect(image.reason).toBeUndefined();
    expect(log).toMatch(/^trigger with f and from another image$/m);
    expect(log).toMatch(/^step with f, yes$/m);
  });

  it('is kept with what the Dockerfile adds, except for the triggers, which have run', async () => {
    const { image, log } = await build(runner, sourceOf(`FROM ${registry.host}/team/base:1\nEXPOSE 53/udp\nVOLUME /more\nSTOPSIGNAL SIGQUIT\nHEALTHCHECK --timeout=5s CMD ["/bin/sh"]\nONBUILD RUN echo next`));
    expect(image.state, log).toBe('ready');
    expect(record(image.name).config).toMatchObject({
      user: '1000:1000',
      forBuilds: {
        onBuild: ['RUN echo next'], shell: ['/bin/sh', '-f', '-c'], stopSignal: 'SIGQUIT', ports: expect.toSatisfy((ports: string[]) => ports.toSorted().join() === '53/udp,80/tcp'),
        volumes: expect.toSatisfy((volumes: string[]) => volumes.toSorted().join() === '/data,/more'), healthcheck: { test: ['CMD', '/bin/sh'], times: { Timeout: 5e9 } },
      },
    });
  });

  it('goes to the stage that stands on it, and to no other', async () => {
    const { image, log } = await build(runner, sourceOf(`FROM ${registry.host}/team/base:1 AS made\nWORKDIR /tmp\nRUN echo made >/tmp/made\nFROM paddock/slim\nCOPY --from=made /tmp/made /tmp/note /srv/\nRUN cat /srv/*; echo "shell $-, \${TRIGGERED:-not triggered}"; id -u`));
    expect(image.reason).toBeUndefined();
    expect(log).toMatch(/^made\nfrom another image\nshell \w*, not triggered\n0$/m);
    expect(log).not.toMatch(/^shell f,/m);
    // Where the last stage works nobody said.
    expect(image.config).toMatchObject({ workDir: null });
    expect(record(image.name).config).not.toHaveProperty('forBuilds');
  });

  it('and cannot be done here is named with the line of the FROM', async () => {
    const { image } = await build(runner, sourceOf(`\nFROM ${registry.host}/team/bad:1`));
    expect(image.reason).toBe('This Dockerfile cannot be built with what its base image adds to it (ONBUILD): line 2: COPY --parents is BuildKit\'s alone; write one COPY for each directory');
  });
});
