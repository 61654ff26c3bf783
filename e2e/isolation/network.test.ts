import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { expect, test } from 'vitest';
import * as sdk from '@daytona/sdk';
import { inject } from 'vitest';
import { withSandbox, type Sandbox } from '../sdk/support.ts';

/** true when a TCP connection from inside comes about (accepted, not refused or dropped). */
async function reaches(sandbox: Sandbox, host: string, port: number): Promise<boolean> {
  const done = await sandbox.process.executeCommand(`timeout 2 bash -c 'exec 3<>/dev/tcp/${host}/${port}' 2>/dev/null && echo yes || echo no`);
  return done.result === 'yes\n';
}

async function addressOf(sandbox: Sandbox): Promise<string> {
  return (await sandbox.process.executeCommand(`ip -4 -o addr show scope global | awk '{split($4,a,"/"); print a[1]; exit}'`)).result.trim();
}

test('one sandbox reaches neither address, toolbox nor any other port of another', async () => {
  await withSandbox(sdk, {}, async (one) => {
    await withSandbox(sdk, {}, async (two) => {
      await two.process.executeCommand('(nohup python3 -m http.server 8000 --bind 0.0.0.0 >/dev/null 2>&1 &); sleep 0.5');
      const target = await addressOf(two);
      expect(target).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
      expect(await reaches(two, target, 8000)).toBe(true);
      for (const port of [8000, 2280, 22222, 22]) expect(await reaches(one, target, port)).toBe(false);
    });
  });
});

test('services of the host are unreachable on every address the host has', async () => {
  const server = createServer((socket) => socket.end('host')).listen(0, '0.0.0.0');
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    const { port } = server.address() as { port: number };
    const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).filter((a) => a.family === 'IPv4' && !a.internal).map((a) => a.address));
    await withSandbox(sdk, {}, async (sandbox) => {
      const gateway = (await sandbox.process.executeCommand(`ip route | awk '/^default/ {print $3}'`)).result.trim();
      const resolver = (await sandbox.process.executeCommand(`awk '/^nameserver/ {print $2; exit}' /etc/resolv.conf`)).result.trim();
      for (const address of [...addresses, gateway, resolver]) {
        expect(await reaches(sandbox, address, port), address).toBe(false);
        expect(await reaches(sandbox, address, Number(new URL(inject('apiUrl')).port)), address).toBe(false);
      }
    });
  } finally {
    server.close();
  }
});

test('the cloud metadata address is unreachable', async () => {
  await withSandbox(sdk, {}, async (sandbox) => {
    expect(await reaches(sandbox, '169.254.169.254', 80)).toBe(false);
  });
});
