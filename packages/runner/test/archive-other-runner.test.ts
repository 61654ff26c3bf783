import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ObjectAccess, RunnerEvent, RunnerTransfer, SandboxSpec } from '@paddock/contract';
import { CredentialIssuer, createS3Server, DiskBlobs } from '@paddock/store';
import { bootRunner, specOf, type TestRunner } from './support.ts';

let runners: TestRunner[] = [];
let dir: string;
let http: Server;
let access: (id: string) => ObjectAccess;
/** Requests are refused while it is away; the connection is cut. */
let away = false;
let served = 0;

beforeAll(async () => {
  dir = mkdtempSync('/var/tmp/paddock-archive-');
  // Small, so that it can be full.
  mkdirSync(join(dir, 'store'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=320m', 'tmpfs', join(dir, 'store')]);
  const issuer = new CredentialIssuer(Buffer.alloc(32, 7));
  const s3 = createS3Server({ blobs: new DiskBlobs(join(dir, 'store')), issuer: () => Promise.resolve(issuer), bucket: 'b', region: 'us-east-1' });
  http = createServer((request, response) => {
    served += 1;
    if (away) return void request.socket.destroy();
    s3.handle(request, response, false);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  access = (id) => {
    const prefix = `archives/${id}/`;
    return { endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', bucket: 'b', prefix, ...issuer.issue({ prefix, actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: 3600 }, 'session') };
  };
  runners = [await bootRunner(), await bootRunner()];
});

afterAll(async () => {
  await Promise.all(runners.map((runner) => runner.destroy()));
  http?.close();
  execFileSync('umount', ['--lazy', join(dir, 'store')]);
  rmSync(dir, { recursive: true, force: true });
});

/** Asks once and waits for the event that says how it ended. */
async function transfer(runner: TestRunner, path: string, body: object): Promise<RunnerTransfer> {
  const seen = runner.events.length;
  const asked = await runner.ask<RunnerTransfer & { message?: string }>('PUT', path, body);
  expect(asked.status, JSON.stringify(asked.body)).toBe(202);
  if (asked.body.state !== 'running') return asked.body;
  const isEnd = (event: RunnerEvent): boolean => event.type === 'transfer' && runner.events.indexOf(event as never) >= seen;
  return (await runner.event(isEnd, 60_000) as unknown as { transfer: RunnerTransfer }).transfer;
}

async function stopped(runner: TestRunner, command: string): Promise<SandboxSpec> {
  const spec = await runner.create();
  await runner.output(spec.id, command, 60);
  await runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`, {});
  return spec;
}

describe('an archived disk', () => {
  it('is rebuilt on a runner that never saw the sandbox', async () => {
    const [first, second] = runners as [TestRunner, TestRunner];
    const spec = await stopped(first, 'echo kept > ~/kept; rm ~/.profile; head -c 20M /dev/urandom > ~/data; sha256sum ~/data > ~/sum');
    const done = await transfer(first, `/v1/sandboxes/${spec.id}/archive`, { access: access('a') });
    expect(done).toMatchObject({ state: 'done', archive: { diskBytes: expect.any(Number), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } });
    // Until somebody removes it the sandbox is as it was, and asking again finds the archive.
    expect(await first.get(spec.id)).toMatchObject({ state: 'stopped' });
    expect(await transfer(first, `/v1/sandboxes/${spec.id}/archive`, { access: access('a') })).toMatchObject({ archive: done.archive });
    await first.remove(spec.id);
    const { sha256 } = done.archive!;
    expect(await transfer(second, `/v1/sandboxes/${spec.id}/restore`, { spec, access: access('a'), sha256 })).toMatchObject({ state: 'done' });
    expect(await second.get(spec.id)).toMatchObject({ state: 'stopped' });
    // A second request does nothing to it.
    expect(await transfer(second, `/v1/sandboxes/${spec.id}/restore`, { spec, access: access('a'), sha256 })).toMatchObject({ state: 'done' });
    expect((await second.put(spec)).status).toBe(200);
    expect(await second.output(spec.id, 'sha256sum --check --quiet ~/sum; cat ~/kept; ls -A ~ | grep -c profile')).toBe('kept\n0');
    await second.remove(spec.id);
  });

  it('of a store that is full or away is told in words, and the sandbox stays', async () => {
    const [runner] = runners as [TestRunner];
    const spec = await stopped(runner, 'head -c 120M /dev/urandom > ~/data; echo kept > ~/kept');
    const filler = join(dir, 'store/filler');
    execFileSync('sh', ['-c', `head -c 300M /dev/zero > ${filler} || true`]);
    expect(await transfer(runner, `/v1/sandboxes/${spec.id}/archive`, { access: access('full') })).toMatchObject({ state: 'failed', transient: false, reason: 'The object store is full' });
    rmSync(filler);
    away = true;
    const before = served;
    const gone = await transfer(runner, `/v1/sandboxes/${spec.id}/archive`, { access: access('away') });
    expect(gone).toMatchObject({ state: 'failed', transient: true });
    expect(served).toBeGreaterThan(before);
    away = false;
    expect((await runner.put(spec)).status).toBe(200);
    expect(await runner.output(spec.id, 'cat ~/kept')).toBe('kept');
    await runner.remove(spec.id);
  });

  it('is given up when the sandbox is started or deleted, and refused of one that runs or is unknown', async () => {
    const [runner] = runners as [TestRunner];
    const spec = await stopped(runner, 'head -c 60M /dev/urandom > ~/data');
    const archive = transfer(runner, `/v1/sandboxes/${spec.id}/archive`, { access: access('given-up') });
    expect((await runner.put(spec)).status).toBe(200);
    expect(await archive).toMatchObject({ state: 'failed', reason: 'The sandbox was started meanwhile' });
    expect(await transfer(runner, `/v1/sandboxes/${spec.id}/archive`, { access: access('runs') })).toMatchObject({ state: 'failed', reason: expect.stringContaining('must be stopped') });
    await runner.remove(spec.id);
    expect(await transfer(runner, `/v1/sandboxes/${spec.id}/archive`, { access: access('unknown') })).toMatchObject({ state: 'failed', reason: expect.stringContaining('There is no sandbox') });
  });

  it('without its digest, its image or room for it is refused, and nothing of it is left on the runner', async () => {
    const [runner] = runners as [TestRunner];
    const spec = specOf({});
    const put = (body: object) => runner.ask<{ code: string; message: string }>('PUT', `/v1/sandboxes/${spec.id}/restore`, body);
    expect((await put({ spec, access: access('x'), sha256: 'short' })).body).toMatchObject({ code: 'INVALID_SPEC' });
    expect((await put({ spec, access: { ...access('x'), prefix: '' }, sha256: '0'.repeat(64) })).body).toMatchObject({ code: 'INVALID_SPEC', message: expect.stringContaining('prefix') });
    expect(await transfer(runner, `/v1/sandboxes/${spec.id}/restore`, { spec, access: access('x'), sha256: '0'.repeat(64) })).toMatchObject({ state: 'failed', transient: false, reason: 'The archive is not in the object store' });
    expect((await runner.list()).map(({ id }) => id)).not.toContain(spec.id);
  });

  it('half rebuilt by a killed runner is gone with it, and is rebuilt by the next', async () => {
    const [runner] = runners as [TestRunner];
    const spec = await stopped(runner, 'head -c 60M /dev/urandom > ~/data; sha256sum ~/data > ~/sum');
    const { archive } = await transfer(runner, `/v1/sandboxes/${spec.id}/archive`, { access: access('killed') });
    await runner.remove(spec.id);
    const body = { spec, access: access('killed'), sha256: archive!.sha256 };
    expect((await runner.ask('PUT', `/v1/sandboxes/${spec.id}/restore`, body)).status).toBe(202);
    await runner.kill9();
    await runner.start();
    await runner.ready();
    expect((await runner.list()).map(({ id }) => id)).not.toContain(spec.id);
    expect(await transfer(runner, `/v1/sandboxes/${spec.id}/restore`, body)).toMatchObject({ state: 'done' });
    expect((await runner.put(spec)).status).toBe(200);
    expect(await runner.output(spec.id, 'sha256sum --check ~/sum | tail -c 3')).toBe('OK');
    await runner.remove(spec.id);
  });
});
