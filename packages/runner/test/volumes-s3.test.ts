import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ObjectAccess, SandboxSpec, VolumeMount } from '@paddock/contract';
import { CredentialIssuer, createS3Server, DiskBlobs, type S3Server } from '@paddock/store';
import { bootRunner, specOf, type TestRunner } from './support.ts';

/** Volumes in an object store: Paddock's own S3 server here, as the embedded store is in an installation. */
const missing = spawnSync('rclone', ['version']).error || spawnSync('fusermount3', ['--version']).error ? 'rclone and fuse3 are not installed' : null;
if (missing) console.log(`S3 volumes are not tested: ${missing}`);

let runner: TestRunner;
let http: Server;
let s3: S3Server;
const blobsDir = mkdtempSync(join(tmpdir(), 'paddock-s3-'));
const blobs = new DiskBlobs(blobsDir);
const issuer = new CredentialIssuer(Buffer.alloc(32, 1));

beforeAll(async () => {
  if (missing) return;
  s3 = createS3Server({ blobs, issuer: () => Promise.resolve(issuer), bucket: 'b', region: 'us-east-1' });
  http = createServer((req, res) => s3.handle(req, res, false)).on('checkContinue', (req, res) => s3.handle(req, res, true));
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  runner = await bootRunner();
});
afterAll(async () => {
  await runner?.destroy();
  s3?.close();
  http?.closeAllConnections();
  http?.close();
  rmSync(blobsDir, { recursive: true, force: true });
});

function accessTo(id: string): ObjectAccess {
  const prefix = `volumes/${id}/`;
  const keys = issuer.issue({ prefix, actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: null }, 'keys');
  return { endpoint: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, region: 'us-east-1', bucket: 'b', prefix, ...keys };
}
async function volume(): Promise<string> {
  const id = randomUUID();
  expect((await runner.ask('PUT', `/v1/volumes/${id}`, { driver: 's3', access: accessTo(id) })).status).toBe(200);
  return id;
}
const at = (volumeId: string, mountPath = '/data', subpath: string | null = null): VolumeMount => ({ volumeId, driver: 's3', mountPath, subpath });
const run = (spec: SandboxSpec, command: string) => runner.output(spec.id, command);
const stored = async (id: string) => (await blobs.list(`volumes/${id}/`, { limit: 100 })).blobs.map(({ key }) => key.slice(`volumes/${id}/`.length));
const daemons = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
  try {
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return args[0]!.endsWith('rclone') && args[3]!.startsWith(`${runner.layout.runDir}/`);
  } catch {
    return false; // ended meanwhile
  }
});
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + 15_000; !(await condition());) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

it.skipIf(missing)('is shared by sandboxes at once, by subpath, also running ones, and lies in the store', async () => {
  const id = await volume();
  const a = await runner.create({ volumes: [at(id)] });
  expect(await run(a, 'stat -c "%a %U" /data; findmnt -no FSTYPE,OPTIONS /data | grep -o "fuse.rclone\\|nosuid\\|nodev" | sort -u; mkdir -p /data/users/alice && echo one > /data/users/alice/f && stat -c "%a %U" /data/users/alice/f')).toBe('777 nobody\nfuse.rclone\nnodev\nnosuid\n666 nobody');
  const b = await runner.create();
  expect((await runner.ask('PATCH', `/v1/sandboxes/${b.id}`, { volumes: [at(id, '/home/daytona/v', 'users/alice')] })).status).toBe(200);
  expect(await run(b, 'cat ~/v/f && echo two >> ~/v/f')).toBe('one');
  // A file cannot be renamed while it is uploaded.
  await until(async () => (await blobs.head(`volumes/${id}/users/alice/f`))?.size === 8, 'the change is uploaded');
  expect(await run(b, 'mv ~/v/f ~/v/g && head -c 6M /dev/zero > ~/v/big')).toBe('');
  expect(await run(a, 'cat /data/users/alice/g; stat -c %s /data/users/alice/big')).toBe('one\ntwo\n6291456');
  expect(daemons()).toHaveLength(1);
  await until(async () => (await stored(id)).includes('users/alice/big'), 'all is uploaded');
  expect(await stored(id)).toEqual(expect.arrayContaining(['users/alice/', 'users/alice/big', 'users/alice/g']));
  await Promise.all([runner.remove(a.id), runner.remove(b.id)]);
});

it.skipIf(missing)('goes on through the death of the runner, whose successor uses the same daemon', async () => {
  const id = await volume();
  const a = await runner.create({ volumes: [at(id)] });
  await run(a, 'echo kept > /data/f');
  const before = daemons();
  await runner.kill9();
  await runner.start();
  expect(await run(a, 'cat /data/f && echo more >> /data/f')).toBe('kept');
  const b = await runner.create({ volumes: [at(id, '/x', 'new/dir')] });
  const c = await runner.create({ volumes: [at(id)] });
  expect(await run(b, 'echo b > /x/f')).toBe('');
  expect(await run(c, 'cat /data/f /data/new/dir/f')).toBe('kept\nmore\nb');
  expect(daemons()).toEqual(before);
  await Promise.all([a, b, c].map((spec) => runner.remove(spec.id)));
});

it.skipIf(missing)('says so when its daemon cannot do its work, and is mounted anew at the next start', async () => {
  const id = await volume();
  const a = await runner.create({ volumes: [at(id)] });
  await run(a, 'echo kept > /data/f');
  await until(async () => (await stored(id)).includes('f'), 'it is uploaded');
  for (const pid of daemons()) process.kill(Number(pid), 'SIGKILL');
  await until(() => daemons().length === 0, 'the daemons are gone');
  expect((await runner.exec(a.id, 'cat /data/f')).exitCode).not.toBe(0);
  await runner.ask('POST', `/v1/sandboxes/${a.id}/stop`, { force: true });
  expect((await runner.put(a)).status).toBe(200);
  expect(await run(a, 'cat /data/f')).toBe('kept');
  await runner.remove(a.id);
  const unreachable = randomUUID();
  await runner.ask('PUT', `/v1/volumes/${unreachable}`, { driver: 's3', access: { ...accessTo(unreachable), endpoint: 'http://127.0.0.1:1' } });
  const refused = await runner.put(specOf({ volumes: [at(unreachable, '/data', 'sub')] }));
  expect([refused.status, refused.body.message]).toEqual([502, expect.stringContaining('object store')]);
});

it.skipIf(missing)('that stands still lets those that want it wait, and then no more; the runner goes on', async () => {
  const [outer, inner] = [await volume(), await volume()];
  const a = await runner.create({ volumes: [at(outer)] });
  await run(a, 'ls /data');
  const [daemon, ...others] = daemons().filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(outer)).map(Number);
  expect(others).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 2000)); // what the kernel remembers of the root is old by then
  process.kill(daemon!, 'SIGSTOP');
  // A thread that waits for it waits for ever: this test must end all the same.
  const awake = setTimeout(() => process.kill(daemon!, 'SIGCONT'), 75_000);
  const stopped = () => readFileSync(`/proc/${daemon}/stat`, 'utf8').includes(') T ');
  try {
    const plain = runner.put(specOf({ volumes: [at(outer)] }));
    // More than the runner has threads for files.
    const refusals = Array.from({ length: 5 }, () => [[at(outer), at(inner, '/data/in/side')], [at(outer, '/data', 'sub')]]).flat().map((volumes) => runner.put(specOf({ volumes })));
    let slowest = 0;
    for (const deadline = Date.now() + 5000; Date.now() < deadline;) {
      const began = performance.now();
      await runner.list();
      slowest = Math.max(slowest, performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(slowest).toBeLessThan(1000);
    expect((await plain).status).toBe(200);
    for (const refused of await Promise.all(refusals)) expect([refused.status, refused.body.message]).toEqual([502, expect.stringContaining('does not answer')]);
    const free = await runner.create();
    expect(await run(free, 'echo free')).toBe('free');
    expect(stopped()).toBe(true);
  } finally {
    clearTimeout(awake);
    process.kill(daemon!, 'SIGCONT');
  }
  for (const sandbox of await runner.list()) await runner.remove(sandbox.id);
}, 100_000);

it.skipIf(missing)('may hold other volumes, and be held by them', async () => {
  const [outer, inner, local] = [await volume(), await volume(), randomUUID()];
  await runner.ask('PUT', `/v1/volumes/${local}`, { driver: 'local', access: null });
  const deep = await runner.create({ volumes: [at(inner, '/data/l/in/side'), { ...at(local, '/data/l'), driver: 'local' }, at(outer), at(inner, '/data/s/t')] });
  expect(await run(deep, 'findmnt -rno TARGET,FSTYPE | grep ^/data | sort; echo x > /data/l/in/side/f; cat /data/s/t/f')).toBe('/data fuse.rclone\n/data/l btrfs\n/data/l/in/side fuse.rclone\n/data/s/t fuse.rclone\nx');
  await runner.remove(deep.id);
});

it.skipIf(missing)('keeps hostile names in the volume: in the store, and in what waits on the host for its upload', async () => {
  const id = await volume();
  const marker = `marker-${id}`;
  const a = await runner.create({ volumes: [at(id)] });
  // rclone writes "/" as U+FF0F and dots as U+FF0E where names must not hold them, and back again.
  const names = ['\uff0e\uff0e', '\uff0e\uff0e\uff0f\uff0e\uff0e\uff0f\uff0e\uff0e\uff0fmarker', '\uff0ftmp\uff0fmarker', '\u201b\uff0e\uff0e', '\u2400marker', '..marker', '-rmarker', 'a\nmarker', ' marker ', '\\..\\marker', '%2e%2e%2fmarker'].map((name) => name.replace('marker', marker));
  await runner.exec(a.id, `python3 -c '
import os
for name in ${JSON.stringify(names)}:
  os.makedirs("/data/" + name + ".d/\uff0e\uff0e/\uff0e\uff0e", exist_ok=True)
  for path in ["/data/" + name, "/data/" + name + ".d/\uff0e\uff0e/\uff0e\uff0e/${marker}"]:
    try:
      open(path, "w").write("marker")
      assert open(path).read() == "marker"
    except OSError as error: print(path, error)'`);
  await until(async () => (await stored(id)).length >= 2 * names.length - 2, 'they are uploaded');
  expect((await stored(id)).filter((key) => key.includes(marker)).length).toBeGreaterThan(names.length);
  const everything = (await blobs.list('', { limit: 1_000 })).blobs.map(({ key }) => key);
  expect(everything.filter((key) => !/^volumes\/[0-9a-f-]{36}\/./.test(key))).toEqual([]);
  expect(everything.filter((key) => key.includes(marker)).every((key) => key.startsWith(`volumes/${id}/`))).toBe(true);
  const root = `/proc/${runner.pid}/root`;
  const where = spawnSync('find', ['/tmp', '/etc', '/root', '/run', '/usr', '/var', `${root}${runner.layout.dataDir}`, '-xdev', '-name', `*${marker}*`, '-not', '-path', `*/volumes/s3/${id}/cache/*`, '-not', '-path', `${blobsDir}/*`], { encoding: 'utf8' }).stdout;
  expect(where).toBe('');
  await runner.remove(a.id);
});

it.skipIf(missing)('shows no secret in an argument or a variable, and none to other users of the machine', async () => {
  const id = await volume();
  const a = await runner.create({ volumes: [at(id)] });
  const { secretKey, accessKey } = accessTo(id);
  for (const pid of daemons()) {
    const seen = readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'utf8');
    expect(seen).not.toContain(secretKey);
    expect(seen).not.toContain(accessKey);
  }
  await runner.remove(a.id);
});

it.skipIf(missing)('leaves no daemon and no trace on the machine when it is removed', async () => {
  await runner.create({ volumes: [at(await volume())] });
  for (const sandbox of await runner.list()) await runner.remove(sandbox.id);
  const { body } = await runner.ask<{ volumes: Array<{ id: string }> }>('GET', '/v1/volumes');
  for (const each of body.volumes) expect((await runner.ask('DELETE', `/v1/volumes/${each.id}`)).status).toBe(204);
  expect(daemons()).toEqual([]);
  expect((await runner.ask<{ volumes: unknown[] }>('GET', '/v1/volumes')).body.volumes).toEqual([]);
});
