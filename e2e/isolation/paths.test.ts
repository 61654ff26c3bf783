import { expect, test } from 'vitest';
import * as sdk from '@daytona/sdk';
import { readFileSync } from 'node:fs';
import { withSandbox } from '../sdk/support.ts';

/** File routes run as the sandbox's user inside the sandbox: whatever a path resolves to, it is the sandbox's. */
test('symlinks and dots in every file route end inside the sandbox', async () => {
  const hostPasswd = readFileSync('/etc/passwd', 'utf8');
  await withSandbox(sdk, {}, async ({ fs, process: run }) => {
    await run.executeCommand('ln -s / up; ln -s /proc/1/root root; ln -s ../../../../../../etc/passwd link');
    for (const path of ['link', 'up/etc/passwd', '../../../../../../../etc/passwd', 'root/etc/passwd', '/proc/self/root/etc/passwd']) {
      const content = await fs.downloadFile(path).then((b) => b.toString(), () => 'refused');
      expect(content, path).not.toBe(hostPasswd);
      if (content !== 'refused') expect(content).toContain('daytona');
    }
    await expect(fs.uploadFile(Buffer.from('x'), 'up/etc/shadow')).rejects.toThrow();
    await expect(fs.deleteFile('/usr/lib/paddock', true)).rejects.toThrow();
    await expect(fs.uploadFile(Buffer.from('x'), '/usr/lib/paddock/toolbox.cjs')).rejects.toThrow();
  });
});

test('root inside cannot change the runtime that all sandboxes share', async () => {
  await withSandbox(sdk, {}, async ({ process: run }) => {
    const out = await run.executeCommand(`sudo -n bash -c 'echo x >> /usr/lib/paddock/toolbox.cjs; mount -o remount,rw /usr/lib/paddock && echo REMOUNTED; chmod 777 /usr/lib/paddock/node; echo end' 2>&1`);
    expect(out.result).not.toContain('REMOUNTED');
    expect(out.result).toMatch(/Read-only file system/);
  });
});
