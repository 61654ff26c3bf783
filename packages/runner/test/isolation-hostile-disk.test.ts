import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
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

/** Where the runtime puts something at the next start, each replaced by a link that points out of the sandbox. */
const TARGETS = ['/etc/hosts', '/etc/resolv.conf', '/etc/hostname', '/etc', '/usr/lib/paddock', '/home/daytona', '/tmp', '/sys', '/proc', '/dev'];

describe('a disk whose owner prepared it for the next start', () => {
  it.each(TARGETS)('with %s as a link to a host path reaches nothing there', async (target) => {
    const spec = await runner.create({ user: 'root' });
    const before = statSync(bait);
    // An overlay's upper layer takes the change where the mount on top of it is taken away first.
    await runner.exec(spec.id, `umount -R ${target} 2>/dev/null; for link in ../../../../../../..${bait} ${bait}; do rm -rf ${target} 2>/dev/null || mv ${target} ${target}.old; ln -sfn $link ${target}; done; sync`, 20).catch(() => {});
    await runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`, { force: true });
    const { status } = await runner.put(spec);
    expect([200, 502]).toContain(status);
    if (status === 200) await runner.exec(spec.id, `ls -la ${target}/ ; touch ${target}/planted`).catch(() => {});
    expect(readdirSync(bait)).toEqual(['secret']);
    expect(statSync(bait).uid).toBe(before.uid);
    expect(statSync(bait).mode).toBe(before.mode);
    await runner.remove(spec.id);
    expect(existsSync(join(bait, 'secret'))).toBe(true);
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
