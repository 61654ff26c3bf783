import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunnerVolume, SandboxSpec, VolumeMount } from '@paddock/contract';
import { bootRunner, specOf, type TestRunner } from './support.ts';

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner.destroy());

async function volume(): Promise<string> {
  const id = randomUUID();
  expect(await put(id)).toBe(200);
  return id;
}

const put = async (id: string) => (await runner.ask('PUT', `/v1/volumes/${id}`, { driver: 'local' })).status;
const drop = (id: string) => runner.ask<{ code?: string }>('DELETE', `/v1/volumes/${id}`);
const list = async () => (await runner.ask<{ volumes: RunnerVolume[] }>('GET', '/v1/volumes')).body.volumes.map(({ id }) => id);
const at = (volumeId: string, mountPath = '/data', subpath: string | null = null): VolumeMount => ({ volumeId, driver: 'local', mountPath, subpath });
const run = (spec: SandboxSpec, command: string) => runner.output(spec.id, command);
/** What a start is refused with. */
async function refusal(over: Partial<SandboxSpec>): Promise<string> {
  const spec = specOf(over);
  const { status, body } = await runner.put(spec);
  expect([status, body.code]).toEqual([400, 'INVALID_SPEC']);
  expect((await runner.list()).map(({ id }) => id)).not.toContain(spec.id);
  return body.message!;
}

describe('a volume', () => {
  it('is made, listed and removed, each as often as one likes', async () => {
    const id = await volume();
    expect(await put(id)).toBe(200);
    expect(await list()).toContain(id);
    expect((await drop(id)).status).toBe(204);
    expect((await drop(id)).status).toBe(204);
    expect(await list()).not.toContain(id);
    expect((await runner.ask('PUT', '/v1/volumes/..%2fx', { driver: 'local' })).status).toBe(400);
    expect((await runner.ask<{ message: string }>('PUT', `/v1/volumes/${id}`, { driver: 's3' })).body.message).toContain('needs access to its objects');
  });

  it('is shared by sandboxes, outlives them, and keeps owners and modes', async () => {
    const id = await volume();
    const [a, b] = [await runner.create({ volumes: [at(id)] }), await runner.create({ volumes: [at(id, '/mnt/deep/er')] })];
    expect(await run(a, 'echo one > /data/f && chmod 640 /data/f && sudo touch /data/root && ln -s f /data/link && stat -c "%u %g %a" /data /data/f /data/root')).toBe('0 0 777\n1000 1000 640\n0 0 644');
    expect(await run(b, 'cd /mnt/deep/er && cat link && echo two >> f && stat -c "%u %g %a" f root && mv f g && cat g')).toBe('one\n1000 1000 640\n0 0 644\none\ntwo');
    expect(await run(a, 'cat /data/g')).toBe('one\ntwo');
    await runner.remove(a.id);
    await runner.remove(b.id);
    const c = await runner.create({ volumes: [at(id)] });
    expect(await run(c, 'cat /data/g')).toBe('one\ntwo');
    expect((await drop(id)).body.code).toBe('VOLUME_IN_USE');
    await runner.remove(c.id);
    expect((await drop(id)).status).toBe(204);
  });

  it('has locks that reach from one sandbox to another', async () => {
    const id = await volume();
    const [a, b] = [await runner.create({ volumes: [at(id)] }), await runner.create({ volumes: [at(id)] })];
    await run(a, 'touch /data/lock; (flock -x 9; touch /data/held; sleep 30) 9>/data/lock >/dev/null 2>&1 & while [ ! -e /data/held ]; do sleep 0.05; done');
    expect((await runner.exec(b.id, 'flock -xn /data/lock true')).exitCode).toBe(1);
    await run(a, 'pkill sleep');
    expect((await runner.exec(b.id, 'flock -xw 5 /data/lock true')).exitCode).toBe(0);
    await Promise.all([runner.remove(a.id), runner.remove(b.id)]);
  });

  it('holds what it is given and no more', async () => {
    const id = await volume();
    const a = await runner.create({ volumes: [at(id)], memoryGiB: 2 });
    expect(await run(a, 'head -c 1200M /dev/zero 2>&1 > /data/big || true; rm -f /data/big; head -c 300M /dev/zero > /data/ok && stat -c %s /data/ok')).toMatch(/(Disk quota exceeded|No space left)[^]*314572800/);
    // Its own disk is not touched by it.
    expect((await runner.exec(a.id, 'head -c 100M /dev/zero > ~/own')).exitCode).toBe(0);
    await runner.remove(a.id);
  });

  it('can be copied to and from a sandbox\'s disk, also files with equal inode numbers', async () => {
    const id = await volume();
    const a = await runner.create({ volumes: [at(id)] });
    const command = 'set -e; for i in $(seq 50); do echo $i > ~/f$i; echo v$i > /data/f$i; done; cp -a ~/f* /data/; mkdir ~/back; cp -a /data/. ~/back/; mv ~/back/f1 /data/f1; cat /data/f50 ~/back/f2 /data/f1; sudo find / -xdev -samefile /data/f1 | wc -l';
    expect(await run(a, command)).toBe('50\n2\n1\n0');
    await runner.remove(a.id);
  });

  it('comes back at each start, also after the runner was killed', async () => {
    const id = await volume();
    const a = await runner.create({ volumes: [at(id)] });
    await run(a, 'echo kept > /data/f');
    await runner.kill9();
    await runner.start();
    expect(await run(a, 'cat /data/f; echo more >> /data/f')).toBe('kept');
    expect((await drop(id)).body.code).toBe('VOLUME_IN_USE');
    await runner.ask('POST', `/v1/sandboxes/${a.id}/stop`, { force: true });
    expect((await runner.put(a)).status).toBe(200);
    expect(await run(a, 'cat /data/f')).toBe('kept\nmore');
    await runner.remove(a.id);
  });
});

describe('a subpath', () => {
  it('is all that a sandbox sees, and is made when missing', async () => {
    const id = await volume();
    const alice = await runner.create({ volumes: [at(id, '/data', 'users/alice')] });
    expect(await run(alice, 'stat -c %a /data; echo a > /data/f; ls -a /data/..  | grep -c users; cat /proc/self/mountinfo | grep -c " /data "')).toBe('777\n0\n1');
    const all = await runner.create({ volumes: [at(id), at(id, '/home/daytona/again', 'users')] });
    expect(await run(all, 'cat /data/users/alice/f ~/again/alice/f; stat -c %a /data/users')).toBe('a\na\n777');
    await Promise.all([runner.remove(alice.id), runner.remove(all.id)]);
  });

  it('never leads through a link that a sandbox planted', async () => {
    const id = await volume();
    const a = await runner.create({ volumes: [at(id)] });
    await run(a, 'cd /data && mkdir real && ln -s / root && ln -s real alias && ln -s ../../.. up && touch file && ln -s nowhere gone');
    for (const subpath of ['root', 'root/etc', 'alias', 'up', 'up/records', 'gone', 'gone/x']) {
      expect(await refusal({ volumes: [at(id, '/data', subpath)] })).toContain('symbolic link');
    }
    expect(await refusal({ volumes: [at(id, '/data', 'file')] })).toContain('not a directory');
    expect(await refusal({ volumes: [at(id, '/data', 'file/x')] })).toContain('not a directory');
    expect(await refusal({ volumes: [at(randomUUID())] })).toContain('no volume');
    await runner.remove(a.id);
  });

  it('cannot be swapped for a link while it is mounted', async () => {
    const id = await volume();
    const a = await runner.create({ volumes: [at(id)] });
    await run(a, 'cd /data && mkdir -p a/b real && (while :; do mv -T a x 2>/dev/null; ln -sfnT / a; rm -f a; mv -T x a; done) >/dev/null 2>&1 &');
    for (let attempt = 0; attempt < 12; attempt++) {
      const spec = specOf({ volumes: [at(id, '/data', 'a/b')] });
      const { status } = await runner.put(spec);
      if (status === 200) {
        expect(await run(spec, 'ls -A /data')).toBe('');
        await runner.remove(spec.id);
      }
    }
    await runner.remove(a.id);
  });
});

describe('a mount point', () => {
  it('is found as the sandbox sees its links, and never outside of it', async () => {
    const id = await volume();
    const a = await runner.create();
    await run(a, 'sudo ln -s /home/daytona/target /link; sudo ln -s /../../../../../../tmp/escaped /out; sudo ln -s /nowhere/at/all /gone; sudo touch /file');
    await runner.ask('POST', `/v1/sandboxes/${a.id}/stop`, { force: true });
    const inside = { ...a, volumes: [at(id, '/link/sub'), at(id, '/out/x')] };
    expect((await runner.put(inside)).status).toBe(400); // /out leads to a directory that is not there
    expect(existsSync('/tmp/escaped')).toBe(false);
    const fine = { ...a, volumes: [at(id, '/fine/a')] };
    expect((await runner.put(fine)).status).toBe(200);
    await run(fine, 'mkdir -p ~/target /tmp/escaped && echo x > /fine/a/f');
    await runner.ask('POST', `/v1/sandboxes/${a.id}/stop`, { force: true });
    expect((await runner.put(inside)).status).toBe(200);
    expect(await run(inside, 'cat /home/daytona/target/sub/f /tmp/escaped/x/f')).toBe('x\nx');
    expect(existsSync('/tmp/escaped')).toBe(false);
    await runner.ask('POST', `/v1/sandboxes/${a.id}/stop`, { force: true });
    for (const path of ['/gone', '/file', '/file/x']) expect((await runner.put({ ...a, volumes: [at(id, path)] })).body.code).toBe('INVALID_SPEC');
    await runner.remove(a.id);
  });

  it('may lie in another volume', async () => {
    const [outer, inner] = [await volume(), await volume()];
    const a = await runner.create({ volumes: [at(inner, '/data/in/side'), at(outer, '/data')] });
    expect(await run(a, 'echo i > /data/in/side/f; ls /data; findmnt -no TARGET /data/in/side')).toBe('in\n/data/in/side');
    await runner.remove(a.id);
    const b = await runner.create({ volumes: [at(inner, '/data')] });
    expect(await run(b, 'cat /data/f')).toBe('i');
    await runner.remove(b.id);
  });
});

describe('a running sandbox', () => {
  it('is given volumes without a restart, as often as one asks', async () => {
    const [one, two] = [await volume(), await volume()];
    const before = await runner.create();
    const pid = runner.initPid(before.id);
    const after = { ...before, env: { A: '1' }, volumes: [at(one, '/home/daytona/one'), at(two, '/srv/two', 'a/b')] };
    for (let time = 0; time < 2; time++) {
      expect((await runner.put(after)).status).toBe(200);
      expect(await run(after, 'grep -c "/one \\|/two " /proc/self/mountinfo; stat -c "%u %a" ~/one /srv/two /srv; ls -ld /proc/1/root/srv | wc -l')).toBe('2\n0 777\n0 777\n0 755\n1');
    }
    await run(after, 'echo x > ~/one/f; mkdir /srv/two/d');
    expect(runner.initPid(before.id)).toBe(pid);
    const other = await runner.create({ volumes: [at(one)] });
    expect(await run(other, 'cat /data/f')).toBe('x');
    // The runner itself is where it was, and still mounts, resolves names and starts sandboxes.
    expect((await runner.ask<{ code: string }>('PATCH', `/v1/sandboxes/${after.id}`, { volumes: [at(one, '/home/daytona/one')] })).body.code).toBe('INVALID_SPEC');
    await runner.ask('POST', `/v1/sandboxes/${after.id}/stop`, { force: true });
    expect((await runner.put(after)).status).toBe(200);
    expect(await run(after, 'cat ~/one/f; ls /srv/two')).toBe('x\nd');
    await Promise.all([runner.remove(after.id), runner.remove(other.id)]);
  });

  it('cannot lead the runner astray while it is given one', async () => {
    const id = await volume();
    const a = await runner.create();
    await run(a, 'sudo mkdir /m && sudo mount -t tmpfs none /m && sudo ln -s /proc/1/root/tmp /magic && sudo ln -s /../../etc/cron.d /up && sudo touch /file && mkdir ~/ok && ln -s ~/ok ~/alias');
    const give = (path: string) => runner.ask<{ code: string; message: string }>('PATCH', `/v1/sandboxes/${a.id}`, { volumes: [at(id, path)] });
    expect((await give('/m/inside')).body.message).toContain('another mount');
    expect((await give('/proc/self/cwd/x')).body.code).toBe('INVALID_SPEC');
    expect((await give('/magic/x')).body.code).toBe('INVALID_SPEC');
    expect((await give('/file')).body.code).toBe('INVALID_SPEC');
    expect((await give('/home/daytona/alias/v')).status).toBe(200);
    expect(await run(a, 'touch ~/ok/v/f && ls ~/ok/v')).toBe('f');
    await runner.remove(a.id);
  });
});

describe('what a volume holds', () => {
  it('cannot be set-uid or a device', async () => {
    const id = await volume();
    const a = await runner.create({ volumes: [at(id)] });
    const b = await runner.create();
    await runner.ask('PATCH', `/v1/sandboxes/${b.id}`, { volumes: [at(id)] });
    await run(a, 'sudo cp /usr/bin/id /data/id && sudo chmod 4755 /data/id; sudo mknod /data/null c 1 3');
    for (const sandbox of [a, b]) {
      expect(await run(sandbox, '/data/id -u; findmnt -no OPTIONS /data; cat /data/null >/dev/null 2>&1; echo $?')).toMatch(/^1000\n(?=.*nosuid)(?=.*nodev).*\n1$/);
    }
    // Where it was mounted before the first process, not even root can lift that.
    expect((await runner.exec(a.id, 'sudo mount -o remount,bind,suid,dev /data')).exitCode).not.toBe(0);
    await Promise.all([runner.remove(a.id), runner.remove(b.id)]);
  });

  it('cannot become a subvolume, which no quota would count', async () => {
    const id = await volume();
    const a = await runner.create({ volumes: [at(id)] });
    const attempt = (request: string) => run(a, `sudo python3 -c '
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
name = ctypes.create_string_buffer(b"\\0" * 8 + b"sub", 4096)
done = libc.ioctl(ctypes.c_int(os.open("/data", os.O_RDONLY)), ctypes.c_ulong(${request}), name)
print("done" if done >= 0 else os.strerror(ctypes.get_errno()))'`);
    const create = ['0x5000940e', '0xabcd00005000940e', '0x50009418', '0x50009401', '0x50009417'];
    for (const request of [...create, '0x4008941a', '0x5000940f']) expect(await attempt(request)).toBe('Inappropriate ioctl for device');
    // A harmless one shows that the others would reach the file system.
    expect(await attempt('0x81f8943c')).toBe('done');
    // Cloning a file has the same type of request and works.
    expect(await run(a, 'head -c 1M /dev/urandom > /data/x && cp --reflink=always /data/x /data/y && cmp /data/x /data/y && ls /data')).toBe('x\ny');
    await runner.remove(a.id);
  });
});

describe('a runner that was killed', () => {
  it('leaves neither half-made nor half-deleted volumes', async () => {
    const ids: string[] = Array.from({ length: 40 }, () => randomUUID());
    const made = ids.map((id) => put(id).catch(() => 0));
    await new Promise((resolve) => setTimeout(resolve, 5));
    await runner.kill9();
    await Promise.all(made);
    await runner.start();
    const removed = ids.map((id) => drop(id).catch(() => null));
    await new Promise((resolve) => setTimeout(resolve, 5));
    await runner.kill9();
    await Promise.all(removed);
    await runner.start();
    const pool = `/proc/${runner.pid}/root${runner.layout.dataDir}/pool/volumes`;
    expect([readdirSync(`${pool}/new`), readdirSync(`${pool}/trash`)]).toEqual([[], []]);
    for (const id of ids) expect((await drop(id)).status).toBe(204);
    expect((await list()).filter((id) => ids.includes(id))).toEqual([]);
  });
});
