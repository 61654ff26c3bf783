import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build, objectStorage, sourceOf, tar, type Built, type ObjectStorage } from './builds-support.ts';
import { bootRunner, type TestRunner } from './support.ts';

describe('an image from a Dockerfile', () => {
  let runner: TestRunner;
  let storage: ObjectStorage;
  let first: Built;
  let sandboxId: string;

  const dockerfile = [
    'FROM paddock/slim AS build',
    'RUN --mount=type=cache,target=/var/cache/x cat /proc/sys/kernel/random/uuid > /made && echo made once',
    'RUN rm -r /opt && mkdir /opt && echo whole > /opt/new',
    'FROM paddock/slim',
    'COPY --link home/user/app /srv/app',
    'COPY notes/*.txt /srv/',
    'COPY --from=build /made /opt/new /srv/',
    'COPY <<EOF /srv/heredoc',
    'from a heredoc',
    'EOF',
    'RUN rm /etc/hostname.orig /usr/bin/less; ln -s /etc/passwd /srv/link; ln /srv/made /srv/hard; mkdir -m 1777 /srv/sticky; chown 1000:33 /srv/new && chmod 4750 /srv/new || true',
    'ENV GREETING="hello world" PATH=/srv/bin:$PATH',
    'WORKDIR /srv/work',
    'USER daytona',
    'ENTRYPOINT ["sleep", "infinity"]',
    'CMD ["ignored"]',
  ].join('\n');

  const source = (over = {}) => sourceOf(dockerfile, { contexts: [`${storage.url}/a.tar?signature=GEHEIM`, `${storage.url}/b.tar`], ...over });
  const made = (log: string): boolean => log.includes('\nmade once\n');

  beforeAll(async () => {
    [runner, storage] = await Promise.all([bootRunner(), objectStorage()]);
    storage.objects.set('/a.tar', await tar({ 'home/user/app/main.py': 'print(1)\n', 'notes/one.txt': 'from a\n' }));
    storage.objects.set('/b.tar', await tar({ 'notes/one.txt': 'from b\n', 'notes/two.txt': 'two\n' }));
    first = await build(runner, source());
  });
  afterAll(async () => {
    storage?.close();
    await runner?.destroy();
  });

  it('is ready, with the configuration that the Dockerfile gives', () => {
    expect(first.image, first.log).toMatchObject({
      state: 'ready', config: { entrypoint: ['sleep', 'infinity'], cmd: ['ignored'], workDir: '/srv/work', user: 'daytona' },
    });
    expect(first.image.sizeBytes).toBeGreaterThan(100e6);
  });

  it('has a log with each step as it is written, and its output', () => {
    expect(first.log).toContain('[1/2] STEP 2/3: RUN --mount=type=cache');
    expect(made(first.log)).toBe(true);
    expect(first.log).toContain('[2/2] STEP 1/11: FROM paddock/slim\n');
    expect(first.log).not.toMatch(/GEHEIM|localhost\/|[0-9a-f]{64}/);
  });

  it('is what sandboxes are made from', async () => {
    const { id } = await runner.create({ image: first.image.name, user: null });
    sandboxId = id;
    expect(await runner.output(id, 'pwd; id -un; echo $GREETING; echo $PATH | cut -d: -f1; cat /srv/one.txt /srv/two.txt /srv/new /srv/heredoc; cat /srv/app/main.py')).toBe(
      '/srv/work\ndaytona\nhello world\n/srv/bin\nfrom b\ntwo\nwhole\nfrom a heredoc\nprint(1)',
    );
  });

  it('keeps links, owners, modes and removals', async () => {
    expect(await runner.output(sandboxId, 'readlink /srv/link; stat -c %h /srv/made; stat -c "%a %u:%g" /srv/sticky /srv/new; ls /usr/bin/less 2>&1')).toBe(
      "/etc/passwd\n2\n1777 0:0\n4750 1000:33\nls: cannot access '/usr/bin/less': No such file or directory",
    );
  });

  it('shares the layers of its base', async () => {
    const layers = readdirSync(`/proc/${runner.pid}/root${runner.layout.dataDir}/pool/layers`).filter((name) => !name.startsWith('.'));
    // slim, builder, and one for each of COPY, COPY, COPY, COPY and RUN.
    expect(layers).toHaveLength(7);
  });

  it('takes unchanged steps from the cache', async () => {
    const again = await build(runner, source());
    expect(again.image).toMatchObject({ state: 'ready', sizeBytes: first.image.sizeBytes });
    expect(made(again.log)).toBe(false);
  });

  it('builds anew what has changed, and what is not of the same organization', async () => {
    const changed = await build(runner, source({ dockerfile: dockerfile.replace('made once', 'made twice') }));
    expect(changed.log).toContain('\nmade twice\n');
    storage.objects.set('/b.tar', await tar({ 'notes/one.txt': 'changed\n' }));
    const content = await build(runner, source());
    expect(made(content.log)).toBe(false);
    expect(content.image).toMatchObject({ state: 'ready' });
    const { id } = await runner.create({ image: content.image.name, user: null });
    expect(await runner.output(id, 'cat /srv/one.txt')).toBe('changed');
    const other = await build(runner, source({ organizationId: randomUUID() }));
    expect(made(other.log)).toBe(true);
  });

  it('can stand on nothing', async () => {
    storage.objects.set('/c.tar', await tar({ hello: 'hello\n' }));
    const { image } = await build(runner, sourceOf('FROM scratch\nCOPY hello /\nENTRYPOINT ["/hello"]', { contexts: [`${storage.url}/c.tar`] }));
    expect(image).toMatchObject({ state: 'ready', config: { entrypoint: ['/hello'], cmd: null, workDir: null, user: null } });
  });

  it('reaches the network and neither the host nor another sandbox', async () => {
    const { port } = new URL(storage.url);
    const { id: neighbour } = await runner.create({ image: 'slim', user: 'root' });
    const address = await runner.output(neighbour, `cd / && (setsid python3 -m http.server ${port} >/dev/null 2>&1 &); sleep 1; curl -s -o /dev/null http://localhost:${port}/ && hostname -I`);
    expect(address.trim()).toMatch(/^[0-9.]+$/);
    const host = `ip route show default | cut -d" " -f3`;
    const { image, log } = await build(runner, sourceOf(`FROM paddock/slim\nRUN getent hosts $(sed -n 's#.*://\\([^/]*\\)/.*#\\1#p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) >/dev/null && echo resolves; for to in 127.0.0.1 $(${host}) 169.254.169.254 ${address.trim()}; do curl -s -m 3 http://$to:${port}/a.tar -o /dev/null && echo reached $to; done; true`));
    expect(image.state).toBe('ready');
    expect(log).toContain('\nresolves\n');
    expect(log).not.toContain('\nreached ');
  });

  it('leaves no sandbox that callers see', async () => {
    expect((await runner.list()).map(({ id }) => id).filter((id) => id.startsWith('build-'))).toEqual([]);
    expect((await runner.ask<{ sandboxesStarted: number }>('GET', '/v1/info')).body.sandboxesStarted).toBe((await runner.list()).length);
  });
});
