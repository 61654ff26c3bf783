import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { goTool, makeLayout, missing, missingGo, pushAccess, run, type Layout, type PushAccess } from './support.ts';

let access: PushAccess;
let layout: Layout;
let work: string;
beforeAll(async () => {
  access = await pushAccess();
  work = mkdtempSync(join(tmpdir(), 'paddock-clients-'));
  layout = await makeLayout([[{ path: 'etc/one', content: 'one' }, { path: 'large', content: randomBytes(3_000_000) }], [{ path: 'etc/two', content: 'two' }]], { Env: ['A=1'], Cmd: ['/x'] });
});
afterAll(() => {
  layout?.remove();
  if (work) rmSync(work, { recursive: true, force: true });
});

/** What came back is, byte for byte, what was pushed. */
function expectSame(directory: string): void {
  const digest = (JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')) as { manifests: { digest: string }[] }).manifests[0]!.digest;
  expect(digest).toBe(layout.digest);
  const { layers } = JSON.parse(readFileSync(join(directory, 'blobs/sha256', digest.slice(7)), 'utf8')) as { layers: { digest: string }[] };
  for (const layer of layers) {
    const file = join('blobs/sha256', layer.digest.slice(7));
    expect(readFileSync(join(directory, file)).equals(readFileSync(join(layout.directory, file)))).toBe(true);
  }
}

const noSkopeo = missing('skopeo');
if (noSkopeo) console.log(`skipped: pushes by skopeo (${noSkopeo})`);
describe.skipIf(noSkopeo)('skopeo', () => {
  const target = (name: string) => `docker://${access.registryUrl}/${access.project}/${name}`;

  test('pushes with what push access gave, lists, inspects, copies between repositories, pulls and deletes', async () => {
    const creds = `${access.username}:${access.secret}`;
    const skopeo = (...args: string[]) => run('skopeo', ['--insecure-policy', ...args]);
    const pushed = await skopeo('copy', '--dest-tls-verify=false', '--dest-creds', creds, `oci:${layout.directory}:v1`, target('skopeo:v1'));
    expect(pushed.status, pushed.output).toBe(0);
    const inspected = await skopeo('inspect', '--tls-verify=false', '--creds', creds, target('skopeo:v1'));
    expect(inspected.status, inspected.output).toBe(0);
    expect(JSON.parse(inspected.output)).toMatchObject({ Digest: layout.digest, RepoTags: ['v1'], Env: ['A=1'] });
    const copied = await skopeo('copy', '--src-tls-verify=false', '--dest-tls-verify=false', '--src-creds', creds, '--dest-creds', creds, target('skopeo:v1'), target('skopeo/copy:v2'));
    expect(copied.status, copied.output).toBe(0);
    const tags = await skopeo('list-tags', '--tls-verify=false', '--creds', creds, target('skopeo/copy'));
    expect(JSON.parse(tags.output)).toMatchObject({ Tags: ['v2'] });
    const pulled = await skopeo('copy', '--src-tls-verify=false', '--src-creds', creds, target(`skopeo/copy@${layout.digest}`), `oci:${join(work, 'skopeo')}:v1`);
    expect(pulled.status, pulled.output).toBe(0);
    expectSame(join(work, 'skopeo'));
    expect((await skopeo('delete', '--tls-verify=false', '--creds', creds, target('skopeo/copy:v2'))).status).toBe(0);
    expect((await skopeo('inspect', '--tls-verify=false', '--creds', creds, target('skopeo/copy:v2'))).output).toMatch(/manifest unknown/i);
  });

  test('converts to Docker\'s own format on the way, and is refused with words without the right credentials', async () => {
    const skopeo = (creds: string, name: string) => run('skopeo', ['--insecure-policy', 'copy', '--format', 'v2s2', '--dest-tls-verify=false', '--dest-creds', creds, `oci:${layout.directory}:v1`, target(name)]);
    expect((await skopeo(`${access.username}:${access.secret}`, 'docker-format:v1')).status).toBe(0);
    const wrong = await skopeo(`${access.username}:wrong`, 'docker-format:v2');
    expect([wrong.status, /unauthorized|authentication required|invalid username/i.test(wrong.output)], wrong.output).toEqual([1, true]);
    const elsewhere = await run('skopeo', ['--insecure-policy', 'copy', '--dest-tls-verify=false', '--dest-creds', `${access.username}:${access.secret}`, `oci:${layout.directory}:v1`,
      `docker://${access.registryUrl}/00000000-1111-4222-8333-444444444444/x:v1`]);
    expect([elsewhere.status, /unauthorized|denied|authentication required/i.test(elsewhere.output)], elsewhere.output).toEqual([1, true]);
  });
});

const noGo = missingGo();
if (noGo) console.log(`skipped: pushes by crane (${noGo})`);
describe.skipIf(noGo)('crane', () => {
  test('logs in, pushes, lists, copies, mounts, pulls and deletes', async () => {
    const crane = await goTool('crane', ['build', 'github.com/google/go-containerregistry/cmd/crane']);
    const env = { PATH: process.env.PATH, HOME: work, DOCKER_CONFIG: join(work, 'crane-config') };
    const call = (...args: string[]) => run(crane, args, { env });
    const name = `${access.registryUrl}/${access.project}/crane`;
    expect((await call('auth', 'login', access.registryUrl, '-u', access.username, '-p', access.secret)).status).toBe(0);
    const pushed = await call('push', layout.directory, `${name}:v1`);
    expect(pushed.status, pushed.output).toBe(0);
    expect((await call('digest', `${name}:v1`)).output).toContain('sha256:');
    expect((await call('ls', name)).output.trim()).toBe('v1');
    const copied = await call('copy', `${name}:v1`, `${name}/copy:v2`);
    expect(copied.status, copied.output).toBe(0);
    expect((await call('tag', `${name}:v1`, 'v3')).status).toBe(0);
    expect((await call('ls', name)).output.trim().split('\n')).toEqual(['v1', 'v3']);
    expect((await call('catalog', access.registryUrl)).output.split('\n')).toEqual(expect.arrayContaining([`${access.project}/crane`, `${access.project}/crane/copy`]));
    const validated = await call('validate', '--remote', `${name}/copy:v2`);
    expect(validated.output).toMatch(/^PASS/);
    const digest = (await call('digest', `${name}/copy:v2`)).output.trim();
    expect((await call('delete', `${name}/copy@${digest}`)).status).toBe(0);
    expect((await call('manifest', `${name}/copy:v2`)).output).toMatch(/MANIFEST_UNKNOWN/);
  }, 300_000);
});
