import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunnerEvent, RunnerImage, RunnerPublication, SandboxSpec } from '@paddock/contract';
import { OwnRegistry } from './publish-bed.ts';
import { bootRunner, type TestRunner } from './support.ts';

/** Two runners with pools of their own and one registry between them. */
let registry: OwnRegistry;
let first: TestRunner;
let second: TestRunner;

beforeAll(async () => {
  registry = await OwnRegistry.start();
  [first, second] = [await bootRunner(), await bootRunner()];
});
afterAll(async () => {
  await first?.destroy();
  await second?.destroy();
  await registry?.stop();
});

async function later<T>(runner: TestRunner, since: number, pick: (event: RunnerEvent) => T | null, timeoutMs = 120_000): Promise<T> {
  const isNew = (event: RunnerEvent): boolean => runner.events.indexOf(event as never) >= since && pick(event) !== null;
  return pick(await runner.event(isNew, timeoutMs))!;
}

async function image(runner: TestRunner, name: string, source: object): Promise<RunnerImage> {
  const since = runner.events.length;
  const { status, body } = await runner.ask<RunnerImage>('PUT', `/v1/images/${name}`, source);
  expect(status, JSON.stringify(body)).toBe(202);
  if (body.state === 'ready') return body;
  return later(runner, since, (event) => (event.type === 'image' && event.image.name === name && event.image.state !== 'preparing' ? event.image : null));
}

async function publish(runner: TestRunner, name: string): Promise<RunnerPublication> {
  const since = runner.events.length;
  const { status, body } = await runner.ask<RunnerPublication>('PUT', `/v1/images/${name}/publication`, { repository: `${registry.host}/paddock/images/${name}`, auth: registry.auth() });
  expect(status, JSON.stringify(body)).toBe(202);
  if (body.state !== 'running') return body;
  return later(runner, since, (event) => (event.type === 'publication' ? event.publication : null));
}

const pull = (runner: TestRunner, name: string, { published }: RunnerPublication) => image(runner, name, { kind: 'registry', reference: published!.reference, auth: registry.auth('paddock/', ['pull']), published: 'disk' });

const MAKE = `set -e; cd /root; mkdir -p dir/opaque; head -c 3000000 /dev/urandom > data; ln data dir/hard; ln -s ../../etc/passwd dir/soft; mkfifo fifo
  echo set > suid; chown 1234:4321 suid; chmod 6755 suid; truncate -s 2G sparse; python3 -c 'import os; os.setxattr("data", "user.note", b"kept")'
  rm /usr/bin/yes; rm -r /etc/apt; mkdir /etc/apt; echo mine > /etc/apt/only; mv /etc/debian_version /etc/moved; chmod 711 /srv`;
/** Everything of the root file system but what is the sandbox's own, or made by merely running; times in seconds. */
const DESCRIBE = `cd / && find . -xdev \\( -path ./proc -o -path ./tmp -o -path ./run -o -path ./dev -o -path ./sys -o -name hosts -o -name hostname -o -name resolv.conf -o -name .pythonlibs -o -name __pycache__ \\) -prune -o -printf '%p %y %m %U:%G %n %l' \\( -type f -printf ' %s %T@' -o -true \\) -printf '\\n' | sed 's/[.][0-9]*$//' | sort`;

async function tree(runner: TestRunner, spec: SandboxSpec): Promise<string[]> {
  return (await runner.output(spec.id, DESCRIBE, 60)).split('\n').filter((line) => !/^\.(\/(var\/(cache|log|lib)|etc)(\/\S*)?)? d |daytona|ld\.so\.cache/.test(line));
}

describe('an image of a sandbox', () => {
  it('runs on another runner with the same tree, and there a sandbox of it can be archived as on the first', async () => {
    const source = await first.create({ user: 'root' });
    expect((await first.exec(source.id, MAKE)).exitCode).toBe(0);
    await image(first, 'sandbox-shared', { kind: 'sandbox', sandboxId: source.id });
    const published = await publish(first, 'sandbox-shared');
    expect(published).toMatchObject({ state: 'done' });
    expect(await pull(second, 'sandbox-shared', published)).toMatchObject({ state: 'ready' });
    const [here, there] = [await first.create({ image: 'sandbox-shared', user: 'root' }), await second.create({ image: 'sandbox-shared', user: 'root' })];
    expect(await tree(second, there)).toEqual(await tree(first, here));
    expect(await second.output(there.id, `cd /root; cmp data dir/hard && python3 -c 'import os; print(os.getxattr("data", "user.note"))'; cat /etc/apt/only; ls /etc/apt /usr/bin/yes /etc/debian_version 2>&1 | grep -c 'No such'; du -k sparse | cut -f1`)).toBe('b\'kept\'\nmine\n2\n0');
    // The topmost layer became a disk: what is deleted of it leaves no mark in the sandbox's own, which an archive would lack.
    await second.output(there.id, 'rm /root/data; echo own > /root/own');
    const upper = join(second.layout.dataDir, 'pool/disks', there.id, 'upper/root');
    const seen = execFileSync('nsenter', ['--target', String(second.pid), '--mount', '--', 'ls', upper], { encoding: 'utf8' }).split('\n');
    expect(seen).toContain('own');
    expect(seen).toContain('suid');
    expect(seen).not.toContain('data');
    for (const [runner, spec] of [[first, source], [first, here], [second, there]] as const) await runner.remove(spec.id);
  });

  it('can be made, published and pulled again and again: an image of a sandbox that was made of a pulled one', async () => {
    const source = await second.create({ image: 'sandbox-shared', user: 'root' });
    await second.output(source.id, 'echo two > /root/two; rm /root/suid');
    await image(second, 'sandbox-again', { kind: 'sandbox', sandboxId: source.id });
    const before = registry.events.length;
    const published = await publish(second, 'sandbox-again');
    expect(published).toMatchObject({ state: 'done' });
    // The base came from there, and is known by its blobs: only the disk is sent.
    expect(registry.received(before)).toBeGreaterThan(3_000_000);
    expect(registry.received(before)).toBeLessThan(4_000_000);
    expect(await pull(first, 'sandbox-again', published)).toMatchObject({ state: 'ready' });
    const copy = await first.create({ image: 'sandbox-again', user: 'root' });
    expect(await first.output(copy.id, 'cat /root/two; ls /root/suid 2>&1 | grep -c "No such"; stat -c %h /root/data')).toBe('two\n1\n2');
    await second.remove(source.id);
    await first.remove(copy.id);
  });

  it('comes back to the runner that published it without its base', async () => {
    const layers = (): string[] => execFileSync('nsenter', ['--target', String(first.pid), '--mount', '--', 'ls', join(first.layout.dataDir, 'pool/layers')], { encoding: 'utf8' }).trim().split('\n');
    const source = await first.create({ user: 'root' });
    await first.output(source.id, 'echo back > /root/back');
    await image(first, 'sandbox-back', { kind: 'sandbox', sandboxId: source.id });
    const published = await publish(first, 'sandbox-back');
    await first.remove(source.id);
    expect((await first.ask('DELETE', '/v1/images/sandbox-back')).status).toBe(204);
    const before = layers();
    const downloads: string[] = [];
    registry.before = (request, _, next) => {
      if (request.method === 'GET' && request.url!.includes('/blobs/') && request.headers.range !== 'bytes=0-0') downloads.push(request.url!);
      next();
    };
    expect(await pull(first, 'sandbox-back', published)).toMatchObject({ state: 'ready' });
    registry.before = (_, __, next) => next();
    expect(downloads).toHaveLength(2); // configuration and disk
    expect(layers()).toEqual(before);
    const copy = await first.create({ image: 'sandbox-back', user: 'root' });
    expect(await first.output(copy.id, 'cat /root/back')).toBe('back');
    await first.remove(copy.id);
  });

  it('takes a layer of this runner only when the registry would send it', async () => {
    const published = await publish(first, 'sandbox-back');
    await first.ask('DELETE', '/v1/images/sandbox-back');
    registry.before = (request, reply, next) => void (request.headers.range === 'bytes=0-0' ? reply.writeHead(403).end() : next());
    const since = registry.events.length;
    expect(await pull(first, 'sandbox-back', published)).toMatchObject({ state: 'ready' });
    registry.before = (_, __, next) => next();
    expect(registry.events.slice(since).filter(({ route, method }) => route === 'blob' && method === 'GET').length).toBeGreaterThanOrEqual(3);
  });

  it('leaves nothing of its disk when the pull is cut short by a kill or by its deletion', async () => {
    const published = await publish(first, 'sandbox-shared');
    await second.ask('DELETE', '/v1/images/sandbox-shared');
    const source = { kind: 'registry', reference: published.published!.reference, auth: registry.auth('paddock/', ['pull']), published: 'disk' };
    const places = (): string[] => ['templates', 'rebuilds', 'layers/.builds'].flatMap((dir) => execFileSync('nsenter', ['--target', String(second.pid), '--mount', '--', 'ls', join(second.layout.dataDir, 'pool', dir)], { encoding: 'utf8' }).split('\n').filter((name) => name.includes('cut')));
    const slow = Promise.withResolvers<void>();
    registry.before = (request, _, next) => void (request.method === 'GET' && request.url!.includes('/blobs/') ? slow.promise.then(next) : next());
    await second.ask('PUT', '/v1/images/sandbox-cut', source);
    await second.kill9();
    await second.start();
    await second.ready();
    expect(places()).toEqual([]);
    await second.ask('PUT', '/v1/images/sandbox-cut', source);
    expect((await second.ask('DELETE', '/v1/images/sandbox-cut')).status).toBe(204);
    slow.resolve();
    registry.before = (_, __, next) => next();
    expect(places()).toEqual([]);
    expect(await image(second, 'sandbox-cut', source)).toMatchObject({ state: 'ready' });
    expect(places()).toEqual(['sandbox-cut']);
  });

  it('is verified on the way back: a registry that lies about a layer or the manifest gives nothing', async () => {
    const published = await publish(first, 'sandbox-shared');
    registry.before = (request, reply, next) => {
      if (!/\/blobs\/sha256:/.test(request.url!) || request.method !== 'GET') return next();
      const end = reply.end.bind(reply);
      const write = reply.write.bind(reply);
      const turn = (chunk: unknown): unknown => (Buffer.isBuffer(chunk) && chunk.length > 2_000 ? Buffer.concat([chunk.subarray(0, 1_000), Buffer.from([chunk[1_000]! ^ 1]), chunk.subarray(1_001)]) : chunk);
      reply.write = ((chunk: unknown, ...rest: never[]) => write(turn(chunk) as Buffer, ...rest)) as typeof reply.write;
      reply.end = ((chunk: unknown, ...rest: never[]) => end(turn(chunk) as Buffer, ...rest)) as typeof reply.end;
      next();
    };
    expect(await pull(second, 'sandbox-lied', published)).toMatchObject({ state: 'failed', reason: expect.stringMatching(/digest|damaged|cannot be used/) });
    registry.before = (_, __, next) => next();
    expect(await pull(second, 'sandbox-lied', published)).toMatchObject({ state: 'ready' });
  });

  it('in the middle of its publication lets the runner be killed; the next one sends what is missing', async () => {
    const source = await first.create({ user: 'root' });
    await first.output(source.id, 'head -c 100000000 /dev/urandom > /root/large', 60);
    await image(first, 'sandbox-killed', { kind: 'sandbox', sandboxId: source.id });
    const reached = Promise.withResolvers<void>();
    registry.before = (request, _, next) => {
      if (request.method === 'PATCH') reached.resolve();
      next();
    };
    const asked = first.ask('PUT', '/v1/images/sandbox-killed/publication', { repository: `${registry.host}/paddock/images/sandbox-killed`, auth: registry.auth() });
    await asked;
    await reached.promise;
    await first.kill9();
    registry.before = (_, __, next) => next();
    await first.start();
    await first.ready();
    const before = registry.events.length;
    const published = await publish(first, 'sandbox-killed');
    expect(published).toMatchObject({ state: 'done' });
    // The base is noted from the publications before; the disk had not arrived whole.
    expect(registry.received(before)).toBeLessThan(110_000_000);
    expect(await pull(second, 'sandbox-killed', published)).toMatchObject({ state: 'ready' });
    await first.remove(source.id);
  });

  it('is published by a thread that lets everything else go first, sandboxes that start among it', async () => {
    const source = await first.create({ user: 'root', diskGiB: 2 });
    await first.output(source.id, 'head -c 300000000 /dev/urandom > /root/large', 120);
    await image(first, 'sandbox-large', { kind: 'sandbox', sandboxId: source.id });
    const running = publish(first, 'sandbox-large');
    let polite: string[] = [];
    for (let tries = 0; polite.length === 0 && tries < 500; tries += 1) {
      await sleep(20);
      polite = niceOfThreads(first.pid).filter((nice) => nice === '10');
    }
    expect(polite).toHaveLength(1);
    const meanwhile = await first.create();
    expect(niceOfThreads(first.pid)[0]).toBe('0');
    await first.remove(meanwhile.id);
    expect(await running).toMatchObject({ state: 'done' });
    await first.remove(source.id);
  });
});

/** proc(5): field 19. The main thread is the first. */
function niceOfThreads(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[16]!;
    } catch {
      return []; // it ended
    }
  });
}

it('the bundle has the thread that publishes', () => {
  const dist = fileURLToPath(new URL('../../../dist', import.meta.url));
  expect(readdirSync(dist)).toContain('publish-worker.mjs');
});
