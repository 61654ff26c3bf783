import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daytona } from '@daytona/sdk';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { api, makeLayout, missing, pushAccess, run, type Layout, type PushAccess } from './support.ts';

/** A root file system of one static program: the smallest image that a sandbox can be made of. */
const BUSYBOX = '/bin/busybox';
const noImage = existsSync(BUSYBOX) && readFileSync(BUSYBOX).subarray(0, 4).toString('latin1') === '\x7fELF' ? null : `${BUSYBOX} is not installed`;
const noSkopeo = missing('skopeo') ?? noImage;
const noDocker = missing('dockerd') ?? missing('docker') ?? (process.getuid?.() === 0 ? null : 'dockerd needs root');
if (noSkopeo) console.log(`skipped: snapshots of pushed images (${noSkopeo})`);
if (noDocker) console.log(`skipped: the CLI's push through Docker (${noDocker})`);

let access: PushAccess;
let layout: Layout | undefined;
beforeAll(async () => {
  access = await pushAccess();
  if (noImage) return;
  layout = await makeLayout([[
    { path: 'bin/busybox', content: readFileSync(BUSYBOX), mode: 0o755 }, { path: 'bin/sh', content: readFileSync(BUSYBOX), mode: 0o755 },
    { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\n' }, { path: 'etc/group', content: 'root:x:0:\n' }, { path: 'tmp/.keep', content: '' },
  ], [{ path: 'etc/pushed', content: 'by us' }]]);
});
afterAll(() => layout?.remove());

/** wire: the CLI's name for it, and what it does after the push. */
const reference = (name: string) => `${access.registryUrl}/${access.project}/${name}:${new Date().toISOString().replace(/\D/g, '').slice(0, 14)}`;

async function snapshotOf(name: string, imageName: string): Promise<{ status: number; body: any }> {
  const made = await api('/snapshots', { method: 'POST', body: JSON.stringify({ name, imageName, cpu: 1, memory: 1, disk: 3 }) });
  if (made.status !== 200 && made.status !== 201) return { status: made.status, body: await made.json() };
  for (;;) {
    const body = (await (await api(`/snapshots/${encodeURIComponent(name)}`)).json()) as { state: string };
    if (!['pending', 'pulling', 'building'].includes(body.state)) return { status: made.status, body };
    await sleep(200);
  }
}

describe.skipIf(noSkopeo)('an image that was pushed', () => {
  test('becomes a snapshot under the name it was pushed by, and sandboxes are made of it', async () => {
    const image = reference('busybox');
    const pushed = await run('skopeo', ['--insecure-policy', 'copy', '--dest-tls-verify=false', '--dest-creds', `${access.username}:${access.secret}`, `oci:${layout!.directory}:v1`, `docker://${image}`]);
    expect(pushed.status, pushed.output).toBe(0);
    const name = `pushed-${Date.now()}`;
    const { body } = await snapshotOf(name, image);
    expect(body, JSON.stringify(body)).toMatchObject({ name, state: 'active', imageName: image });
    const daytona = new Daytona({ apiKey: inject('apiKey'), apiUrl: inject('apiUrl'), target: 'us' });
    const sandbox = await daytona.create({ snapshot: name }, { timeout: 120 });
    try {
      expect((await sandbox.process.executeCommand('/bin/busybox cat /etc/pushed')).result.trim()).toBe('by us');
    } finally {
      await sandbox.delete();
    }
    expect((await api(`/snapshots/${name}`, { method: 'DELETE' })).status).toBe(200);
  }, 180_000);

  test('of another organization, or that does not exist, is refused with words', async () => {
    for (const repository of ['00000000-1111-4222-8333-444444444444/private', `${access.project}/never-pushed`]) {
      const { body } = await snapshotOf(`refused-${Date.now()}`, `${access.registryUrl}/${repository}:v1`);
      const text = body.errorReason ?? body.message;
      expect(text, JSON.stringify(body)).toMatch(/not found|does not exist|no such|unknown/i);
    }
  }, 120_000);
});

/** A daemon of the test's own that touches neither networks nor firewall of the machine. */
describe.skipIf(noDocker)('docker push, as the CLI does it', () => {
  let work: string;
  let daemon: ChildProcess;
  let output = '';
  const socket = () => join(work, 'docker.sock');
  const docker = (...args: string[]) => run('docker', ['-H', `unix://${socket()}`, ...args], { env: { PATH: process.env.PATH, HOME: work, DOCKER_CONFIG: join(work, 'config') } });

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'paddock-dockerd-'));
    daemon = spawn('dockerd', [
      '-H', `unix://${socket()}`, '--data-root', join(work, 'data'), '--exec-root', join(work, 'exec'), '--pidfile', join(work, 'pid'),
      '--bridge', 'none', '--iptables=false', '--ip6tables=false', '--storage-driver', 'vfs',
    ], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [daemon.stdout, daemon.stderr]) stream!.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    for (let waited = 0; (await docker('version')).status !== 0; waited += 200) {
      if (daemon.exitCode !== null || waited > 60_000) throw new Error(`dockerd does not start:\n${output.slice(-2000)}`);
      await sleep(200);
    }
  }, 90_000);
  afterAll(async () => {
    if (daemon?.exitCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      await ended;
    }
    if (work) rmSync(work, { recursive: true, force: true });
  });

  test('tag, login by push access, push, inspect through the daemon until it is there', async () => {
    const tar = join(work, 'root.tar');
    expect((await run('tar', ['-cf', tar, '-C', '/etc', 'hostname', 'passwd'])).status).toBe(0);
    expect((await docker('import', tar, 'local/image:dev')).status).toBe(0);
    const image = reference('image');
    expect((await docker('tag', 'local/image:dev', image)).status).toBe(0);
    const refused = await docker('push', image);
    expect([refused.status, /no basic auth credentials|unauthorized|authentication required/i.test(refused.output)], refused.output).toEqual([1, true]);
    expect((await engine('POST', `/images/${image.slice(0, image.lastIndexOf(':'))}/push?tag=${image.slice(image.lastIndexOf(':') + 1)}`)).body).toContain('"aux"');
    const inspected = await engine('GET', `/distribution/${image}/json`);
    expect([inspected.status, JSON.parse(inspected.body)], inspected.body).toEqual([200, expect.objectContaining({ Descriptor: expect.objectContaining({ digest: expect.stringMatching(/^sha256:/) }) })]);
    expect((await docker('rmi', image, 'local/image:dev')).status).toBe(0);
    expect((await docker('login', access.registryUrl, '-u', access.username, '-p', access.secret)).status).toBe(0);
    const pulled = await docker('pull', image);
    expect(pulled.status, pulled.output).toBe(0);
  }, 120_000);

  /** The Docker Engine API with credentials in its own header, which is what the CLI's client library sends. */
  function engine(method: string, path: string): Promise<{ status: number; body: string }> {
    const auth = Buffer.from(JSON.stringify({ username: access.username, password: access.secret, serveraddress: access.registryUrl })).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
    return new Promise((resolve, reject) => {
      const req = request({ socketPath: socket(), method, path: `/v1.41${path}`, headers: { 'x-registry-auth': auth } }, (res) => {
        let body = '';
        res.on('data', (chunk: Buffer) => { body += chunk.toString(); });
        res.on('end', () => resolve({ status: res.statusCode ?? 0, body }));
      });
      req.on('error', reject);
      req.end();
    });
  }
});
