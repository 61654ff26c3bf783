import { setTimeout as sleep } from 'node:timers/promises';
import { Daytona, Image } from '@daytona/sdk';
import { readState } from '@paddock/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort, startPaddock, type Paddock } from '../support/harness.ts';
import { Mirror } from './mirror.ts';

/** kill -9 in the middle of pulls and builds, and a registry that is having a bad day: each ends as if nothing had happened. */
const mirror = new Mirror();
let paddock: Paddock;
let daytona: Daytona;
beforeAll(async () => {
  const port = await freePort();
  paddock = await startPaddock({ env: { PADDOCK_REGISTRY_MIRRORS: `docker.io=http://127.0.0.1:${port}` } });
  daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  await mirror.start(port);
  await mirror.publish('library/debian:13');
});
afterAll(async () => {
  await mirror.stop();
  await paddock?.stop();
  const left = paddock?.leftovers() ?? [];
  expect(left).toEqual([]);
});

const call = (path: string, init: RequestInit = {}) => fetch(paddock.apiUrl + path, { ...init, headers: { authorization: `Bearer ${paddock.apiKey}`, 'content-type': 'application/json' } });

/** GET until it answers 200: the control plane may be starting. */
async function stateOf(path: string): Promise<string> {
  const reply = await call(path).catch(() => null);
  return reply?.ok ? ((await reply.json()) as { state: string }).state : 'unknown';
}

async function kill(part: 'runner' | 'control'): Promise<void> {
  const before = paddock.pids()[part];
  expect(paddock.kill9(part)).toBe(true);
  await expect.poll(() => paddock.pids()[part] !== before && paddock.pids()[part] > 0, { timeout: 30_000 }).toBe(true);
}

const works = async (snapshot: string) => {
  const sandbox = await daytona.create({ snapshot }, { timeout: 60 });
  expect((await sandbox.process.executeCommand('echo fine')).result).toBe('fine\n');
  await sandbox.delete();
};

test.each([['runner', 1], ['control', 2]] as const)('the %s is killed in the middle of a pull', async (part, variant) => {
  await mirror.publish(`library/large:${part}`, {}, variant);
  mirror.delayMs = 5; // the image takes some ten seconds
  const name = `pull-${part}`;
  await call('/snapshots', { method: 'POST', body: JSON.stringify({ name, imageName: `large:${part}` }) });
  await expect.poll(() => stateOf(`/snapshots/${name}`), { timeout: 30_000 }).toBe('pulling');
  await sleep(1_000);
  await kill(part);
  mirror.delayMs = 0;
  await expect.poll(() => stateOf(`/snapshots/${name}`), { timeout: 120_000 }).toBe('active');
  await works(name);
  await call(`/snapshots/${name}`, { method: 'DELETE' });
}, 240_000);

test.each(['runner', 'control'] as const)('the %s is killed in the middle of a build', async (part) => {
  const name = `build-${part}`;
  const dockerfileContent = `FROM debian:13\nRUN echo ${part} && sleep 4 && echo done > /done`;
  await call('/snapshots', { method: 'POST', body: JSON.stringify({ name, buildInfo: { dockerfileContent } }) });
  const log = async () => (await call(`/snapshots/${name}/build-logs`).then((reply) => reply.text(), () => ''));
  await expect.poll(log, { timeout: 60_000 }).toContain('RUN echo');
  await sleep(500);
  await kill(part);
  await expect.poll(() => stateOf(`/snapshots/${name}`), { timeout: 120_000 }).toBe('active');
  await works(name);
}, 240_000);

test('a registry that says "too many requests" for a while costs time only', async () => {
  await mirror.publish('library/busy:1', { Env: ['PATH=/usr/bin:/bin', 'A=busy'] });
  mirror.refuse = { status: 429, times: 3 };
  await call('/snapshots', { method: 'POST', body: JSON.stringify({ name: 'busy', imageName: 'busy:1' }) });
  await expect.poll(() => stateOf('/snapshots/busy'), { timeout: 120_000 }).toBe('active');
  expect(mirror.refuse.times).toBe(0);
}, 180_000);

test('a build of a user that fails says nothing about the server', async () => {
  await call('/snapshots', { method: 'POST', body: JSON.stringify({ name: 'failing', buildInfo: { dockerfileContent: 'FROM debian:13\nRUN exit 4' } }) });
  await expect.poll(() => stateOf('/snapshots/failing'), { timeout: 60_000 }).toBe('build_failed');
  expect(readState(paddock.layout)?.phase).toBe('ready');
}, 120_000);

test('two identical builds at once are one build', async () => {
  const image = Image.base('debian:13').runCommands('sleep 2; head -c 16 /dev/urandom | base64 > /once');
  const sandboxes = await Promise.all([1, 2, 3].map(() => daytona.create({ image, resources: { cpu: 1, memory: 1, disk: 3 } }, { timeout: 120 })));
  const contents = await Promise.all(sandboxes.map(async (sandbox) => (await sandbox.process.executeCommand('cat /once')).result));
  expect(new Set(contents).size).toBe(1);
  await Promise.all(sandboxes.map((sandbox) => sandbox.delete()));
}, 180_000);
