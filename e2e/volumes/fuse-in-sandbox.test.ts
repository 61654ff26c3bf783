import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { api, client, SDKS, unique, type Sandbox } from '../sdk/support.ts';

/**
 * The documentation's "Mount External Storage" with Debian's tools: a bucket of the user's own, mounted by s3fs and by rclone, as
 * the sandbox's user and as root. The S3 endpoint runs in the sandbox itself.
 */
const daytona = client(SDKS[0]![1]);
let sandbox: Sandbox;
/** Why nothing can be mounted here. */
let missing: string | null = null;

const URL = 'http://127.0.0.1:9000';
const S3FS = `-o url=${URL},use_path_request_style,passwd_file=/home/daytona/.passwd-s3fs`;

async function run(command: string, timeout = 60): Promise<string> {
  const { result, exitCode } = await sandbox.process.executeCommand(command, undefined, undefined, timeout);
  if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}: ${result}`);
  return result.trim();
}

beforeAll(async () => {
  sandbox = await daytona.create({ snapshot: 'daytona-medium' });
  const install = await sandbox.process.executeCommand('(sudo apt-get update && sudo apt-get install -y --no-install-recommends rclone s3fs fuse3) 2>&1 | tail -3; which rclone s3fs fusermount3', undefined, undefined, 240);
  if (install.exitCode !== 0) {
    missing = `Debian's rclone, s3fs and fuse3 cannot be installed: ${install.result}`;
    console.log(missing);
    return;
  }
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, 's3-server.ts')], bundle: true, platform: 'node', format: 'cjs', target: 'node24', write: false, logLevel: 'error',
  });
  await sandbox.fs.uploadFile(Buffer.from(outputFiles[0]!.contents), 's3-server.cjs');
  await run([
    'mkdir -p store', '(setsid /usr/lib/paddock/bin/node s3-server.cjs 9000 store > keys 2>&1 &)', 'until grep -q " " keys; do sleep 0.1; done', 'read key secret < keys',
    'echo "$key:$secret" > .passwd-s3fs', 'chmod 600 .passwd-s3fs', 'mkdir -p .config/rclone',
    `printf "[mine]\\ntype = s3\\nprovider = Other\\nendpoint = ${URL}\\naccess_key_id = $key\\nsecret_access_key = $secret\\n" > .config/rclone/rclone.conf`,
  ].join('\n'));
});
let deleted = false;
afterAll(async () => {
  if (!deleted) await sandbox?.delete();
});

test('s3fs as the sandbox\'s user', async ({ skip }) => {
  if (missing) skip(missing);
  await run(`mkdir -p b && s3fs mine b ${S3FS}`);
  expect(await run('echo one > b/f && mkdir b/d && head -c 12M /dev/urandom > b/d/big && mv b/f b/g && cat b/g && stat -c "%U %s" b/d/big && ls b && findmnt -no FSTYPE ~/b')).toBe('one\ndaytona 12582912\nd\ng\nfuse.s3fs');
  expect(await run('md5sum < b/d/big')).toBe(await run('md5sum b/d/big | sed "s/b.d.big/-/"'));
  await run('fusermount3 -u b && ! findmnt ~/b');
});

test('rclone as the sandbox\'s user sees the same bucket', async ({ skip }) => {
  if (missing) skip(missing);
  await run('mkdir -p r && rclone mount mine:mine r --daemon --vfs-cache-mode writes --vfs-write-back 0s');
  expect(await run('cat r/g && echo two >> r/g && cat r/g && stat -c %s r/d/big')).toBe('one\none\ntwo\n12582912');
  await run('timeout 30 sh -c "until rclone cat mine:mine/g | grep two; do sleep 0.2; done"');
  await run('fusermount3 -u r && ! findmnt ~/r');
});

test('both as root, for everyone in the sandbox', async ({ skip }) => {
  if (missing) skip(missing);
  await run(`sudo mkdir -p /mnt/s3fs /mnt/rclone && sudo s3fs mine /mnt/s3fs ${S3FS},allow_other,umask=000`);
  await run('sudo rclone --config /home/daytona/.config/rclone/rclone.conf mount mine:mine /mnt/rclone --daemon --allow-other --umask 000 --dir-cache-time 0s');
  expect(await run('echo three > /mnt/s3fs/byuser && cat /mnt/rclone/byuser /mnt/s3fs/g')).toBe('three\none\ntwo');
  await run('sudo umount /mnt/s3fs /mnt/rclone');
});

test('a mount is moved out of the way, as the documentation unmounts, and its place is taken again', async ({ skip }) => {
  if (missing) skip(missing);
  const mount = 'rclone mount mine:mine r --daemon && cat r/g';
  await run(mount);
  expect(await run('sudo mkdir -p /tmp/.fuse-defunct && sudo mount --move /home/daytona/r /tmp/.fuse-defunct && ls -A r')).toBe('');
  await run(mount);
  expect(await run('findmnt -rno TARGET -t fuse.rclone | sort')).toBe('/home/daytona/r\n/tmp/.fuse-defunct');
  await run('sudo umount -l /tmp/.fuse-defunct; fusermount3 -u r; pkill -x rclone; until ! pgrep -x rclone; do sleep 0.1; done');
});

/** Its daemon stands still; one process waits for it in the kernel, where no signal but the last reaches it. */
async function hang(): Promise<void> {
  await run('rclone mount mine:mine r --daemon && ls r > /dev/null');
  await run('pkill -STOP -x rclone; (setsid cat r/g > /dev/null 2>&1 &); sleep 0.5; pgrep -x cat');
}

test('a file system that no longer answers keeps no sandbox from being snapshot, stopped, archived or deleted', async ({ skip }) => {
  if (missing) skip(missing);
  await hang();
  const name = unique('hung');
  const json = { 'content-type': 'application/json' };
  expect((await api(`/sandbox/${sandbox.id}/snapshot`, { method: 'POST', headers: json, body: JSON.stringify({ name }) })).status).toBe(200);
  await vi.waitFor(async () => expect(await (await api(`/snapshots/${name}`)).json()).toMatchObject({ state: 'active' }), { timeout: 30_000, interval: 100 });
  expect(await run('echo here; pgrep -x cat > /dev/null')).toBe('here');
  await api(`/snapshots/${name}`, { method: 'DELETE' });
  await sandbox.stop(20, true);
  await sandbox.archive();
  await vi.waitFor(async () => expect(await (await api(`/sandbox/${sandbox.id}`)).json()).toMatchObject({ state: 'archived' }), { timeout: 60_000, interval: 100 });
  await sandbox.start();
  expect(await run('ls -A r; cat s3-server.cjs | wc -l > /dev/null; echo here')).toBe('here');
  await run('(setsid /usr/lib/paddock/bin/node s3-server.cjs 9000 store > keys 2>&1 &); until grep -q " " keys; do sleep 0.1; done; read key secret < keys; sed -i "s/^access_key_id.*/access_key_id = $key/; s/^secret_access_key.*/secret_access_key = $secret/" .config/rclone/rclone.conf');
  await hang();
  await sandbox.delete();
  await vi.waitFor(async () => expect((await api(`/sandbox/${sandbox.id}`)).status).toBe(404), { timeout: 20_000, interval: 100 });
  deleted = true;
}, 180_000);
