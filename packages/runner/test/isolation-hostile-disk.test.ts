import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, type TestRunner } from './support.ts';

let runner: TestRunner;
let bait: string;
beforeAll(async () => {
  runner = await bootRunner();
  bait = mkdtempSync('/tmp/paddock-bait-');
  writeFileSync(join(bait, 'secret'), 'untouched', { mode: 0o644 });
});
afterAll(async () => {
  await runner.destroy();
  rmSync(bait, { recursive: true, force: true });
});

/** Where the runtime mounts or makes something at the next start. */
const TARGETS = ['/etc/hosts', '/etc/resolv.conf', '/etc', '/usr/lib/paddock', '/usr/lib', '/home/daytona', '/tmp', '/sys', '/proc', '/dev'];
const LINKS = (path: string): string[] => [path, `../../../../../../../../..${path}`];

describe('a disk whose owner prepared it for the next start', () => {
  it.each(TARGETS.flatMap((target) => [[target, 0] as const, [target, 1] as const]))('with %s as link %i to a host path reaches nothing there', async (target, kind) => {
    const spec = await runner.create({ user: 'root' });
    const before = statSync(bait);
    const link = LINKS(bait)[kind]!;
    // In a mount namespace of its own nothing is mounted on the target, so it can be moved away.
    await runner.exec(spec.id, prepare(target, link), 20).catch(() => {});
    await runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`, { force: true });
    expect(readlinkSync(`/proc/${runner.pid}/root${runner.layout.dataDir}/pool/disks/${spec.id}/upper${target}`)).toBe(link);

    const { status } = await runner.put(spec);
    expect([200, 502]).toContain(status);
    if (status === 200) await runner.exec(spec.id, `ls -la ${target}/; touch ${target}/planted`).catch(() => {});
    expect(readdirSync(bait)).toEqual(['secret']);
    expect(statSync(bait).uid).toBe(before.uid);
    expect(statSync(bait).mode).toBe(before.mode);
    await runner.remove(spec.id);
    expect(readFileSync(join(bait, 'secret'), 'utf8')).toBe('untouched');
  });

  it('and whose passwd names itself root stays the user it was started as', async () => {
    const spec = await runner.create();
    await runner.exec(spec.id, 'sudo sed -i "s/^daytona:x:1000/daytona:x:0/" /etc/passwd');
    await runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`, { force: true });
    await runner.put(spec);
    expect(await runner.output(spec.id, 'id -u')).toBe('1000');
    await runner.remove(spec.id);
  });
});

/** Python, because it needs no further file once it runs: the target may be the directory of all programs. */
function prepare(target: string, link: string): string {
  const mounts = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/usr/lib/paddock', '/sys', '/proc', '/dev'];
  const program = [
    'import ctypes, os, shutil',
    'libc = ctypes.CDLL(None)',
    'libc.unshare(0x20000)',
    ...mounts.map((path) => `libc.umount2(b"${path}", 2)`),
    `shutil.rmtree("${target}", True)`,
    `os.path.isfile("${target}") and os.remove("${target}")`,
    `os.symlink("${link}", "${target}")`,
  ].join('; ');
  return `python3 -c '${program}'`;
}
