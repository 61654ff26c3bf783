import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startToolbox } from './toolbox.ts';
import { demux, follow, logsPath, newSession } from './session-support.ts';

const MIB = 1024 * 1024;

/** A home whose disk holds 6 MiB. */
function smallHome(): string {
  const home = join(mkdtempSync(join(tmpdir(), 'paddock-small-')), 'home');
  mkdirSync(home);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'none', home]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', home]);
    rmSync(join(home, '..'), { recursive: true });
  });
  return home;
}

test('on a full disk a follower still gets everything, and the newest output is kept', async () => {
  const toolbox = await startToolbox({ env: { HOME: smallHome() } });
  const session = await newSession(toolbox);
  const command = await session.start(`seq -w 1 9999999 | head -c ${40 * MIB}; echo the end`);
  const reader = follow(toolbox, logsPath(session, command));
  expect(await reader.closed).toBe(1000);
  const { stdout } = demux(Buffer.concat(reader.frames));
  expect(stdout.length).toBe(40 * MIB + 'the end\n'.length);
  expect(stdout.startsWith('0000001\n') && stdout.includes('\n4000000\n')).toBe(true);
  const kept = (await session.get(`/command/${command}/logs`)).json.stdout;
  expect(kept.endsWith('the end\n')).toBe(true);
  expect(kept.length).toBeGreaterThan(0);
  expect(stdout.endsWith(kept)).toBe(true);
}, 30_000);

test('on a full disk a command without a reader does not wait', async () => {
  const home = smallHome();
  const toolbox = await startToolbox({ env: { HOME: home } });
  await toolbox.exec(`head -c 10000000 /dev/zero > ${home}/filler`);
  const session = await newSession(toolbox);
  const reply = await session.run(`seq -w 1 9999999 | head -c ${20 * MIB}; echo the end`);
  expect(reply.exitCode).toBe(0);
  expect(reply.stdout.endsWith('the end\n')).toBe(true);
  expect(reply.stdout.length).toBeGreaterThan(32 * 1024);
}, 30_000);
