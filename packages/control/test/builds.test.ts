import { request } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BuildLogUrls } from '../src/snapshots/index.ts';
import { secondOrganization } from './second-organization.ts';
import { ADMIN_KEY, startTestDatabase, type TestDatabase } from './support.ts';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { ordered, snapshotState, untilSnapshot } from './images-support.ts';

/** Snapshots and sandboxes built from Dockerfiles. */
let database: TestDatabase;
let plane: TestPlane;
let organizationId: string;
beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
  organizationId = (await plane.call('GET', '/api/organizations')).body[0].id;
});
afterAll(async () => {
  if (plane) await stopPlane(plane);
  await database?.stop();
});

let counter = 0;
/** A Dockerfile that no other test builds. */
const dockerfile = (more = '') => `FROM python:3.12-slim\nRUN echo ${++counter}\n${more}`;
const snapshot = (name: string, dockerfileContent: string, contextHashes?: string[]) => plane.call('POST', '/api/snapshots', { name, buildInfo: { dockerfileContent, contextHashes } });
const sandbox = (dockerfileContent: string, more: object = {}) => plane.call('POST', '/api/sandbox', { buildInfo: { dockerfileContent }, ...more });

/** The image that the runner was told to build from the text. */
async function buildOf(text: string): Promise<string> {
  const find = () => ordered(plane, 'build').findLast((name) => {
    const source = plane.runner.sources.get(name);
    return source?.kind === 'build' && source.dockerfile === text;
  });
  await until(() => find() !== undefined, 'the build is ordered');
  return find()!;
}

/** Reads a URL as clients do. @returns status, type and the whole text once it ended */
function read(url: string, headers: Record<string, string> = {}): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    const { pathname, search } = new URL(url);
    request({ port: plane.port, path: pathname + search, headers }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('error', reject);
      res.on('end', () => resolve({ status: res.statusCode ?? 0, type: res.headers['content-type'] ?? '', text }));
    }).on('error', reject).end();
  });
}
const bearer = { authorization: `Bearer ${ADMIN_KEY}` };

describe('a snapshot', () => {
  test('is building until the runner is done; its DTO holds what it is built from', async () => {
    const text = dockerfile('ENTRYPOINT ["/start", "-x"]');
    const { status, body } = await snapshot('built', text);
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: 'building', entrypoint: ['/start', '-x'], buildInfo: { dockerfileContent: text, contextHashes: [], snapshotRef: expect.stringMatching(/^daytona-[0-9a-f]{64}:daytona$/) } });
    const name = await buildOf(text);
    expect(plane.runner.sources.get(name)).toEqual({ kind: 'build', organizationId, dockerfile: text, contexts: [], auths: [], localBases: {} });
    plane.runner.settle(name, { state: 'ready', sizeBytes: 1024 ** 3 });
    await untilSnapshot(plane, 'built', 'active');
    const started = await plane.create({ snapshot: 'built' });
    expect(plane.runner.sandboxes.get(started.id)?.spec).toMatchObject({ image: name, entrypoint: ['/start', '-x'] });
    expect((await snapshot('plain', dockerfile())).body.entrypoint).toEqual(['sleep', 'infinity']);
  });

  test('that fails says why, and the same request is a new attempt', async () => {
    const text = dockerfile();
    await snapshot('failing', text);
    const first = await buildOf(text);
    plane.runner.settle(first, { state: 'failed', reason: 'RUN exit 3: step 2 ended with status 3' });
    await untilSnapshot(plane, 'failing', 'build_failed');
    expect((await plane.call('GET', '/api/snapshots/failing')).body.errorReason).toBe('RUN exit 3: step 2 ended with status 3');
    await plane.call('DELETE', '/api/snapshots/failing');
    await snapshot('failing', text);
    await until(async () => (await buildOf(text)) !== first, 'another build');
  });

  test('that fails with a reason no database can hold is over nevertheless', async () => {
    const text = dockerfile();
    await snapshot('nul', text);
    plane.runner.settle(await buildOf(text), { state: 'failed', reason: 'printed a\0b' });
    await untilSnapshot(plane, 'nul', 'build_failed');
    expect((await plane.call('GET', '/api/snapshots/nul')).body.errorReason).toBe('printed a\uFFFDb');
  });

  test('of two identical requests at once is built once, and once more only after a day', async () => {
    const text = dockerfile();
    const replies = await Promise.all(['one', 'two', 'three'].map((name) => snapshot(name, text)));
    expect(replies.map(({ body }) => body.state)).toEqual(['building', 'building', 'building']);
    const name = await buildOf(text);
    plane.runner.settle(name, { state: 'ready' });
    for (const each of ['one', 'two', 'three']) await untilSnapshot(plane, each, 'active');
    expect((await snapshot('four', text)).body.state).toBe('active');
    // The order of the contexts does not matter, other people's builds do.
    expect((await sandbox(text)).body.state).toBe('started');
    expect(plane.runner.requests.filter((line) => line === `PUT ${name}`)).toHaveLength(1);
    await plane.context.db.run({ text: `update images set created_at = now() - interval '25 hours' where name = $1`, values: [name] });
    expect((await snapshot('five', text)).body.state).toBe('building');
    await until(async () => (await buildOf(text)) !== name, 'another build');
    expect(await snapshotState(plane, 'one')).toBe('active');
  });

  test('that is deleted while it is built ends the build, unless somebody else wants it', async () => {
    const text = dockerfile();
    await Promise.all([snapshot('c1', text), snapshot('c2', text)]);
    const name = await buildOf(text);
    await plane.call('DELETE', '/api/snapshots/c1');
    await sleep(200);
    expect(plane.runner.count(`DELETE ${name}`)).toBe(0);
    await plane.call('DELETE', '/api/snapshots/c2');
    await until(() => plane.runner.count(`DELETE ${name}`) > 0, 'the build is cancelled', 15_000);
    await until(async () => (await plane.context.images.get(name)) === null, 'nothing is left of it');
  });

  test('may be of a Dockerfile that begins with a byte order mark', async () => {
    expect((await snapshot('marked', `\uFEFF${dockerfile()}`)).status).toBe(200);
  });

  test('is not shared with another organization', async () => {
    const other = await secondOrganization(plane.config.databaseUrl!);
    const text = dockerfile();
    await snapshot('own', text);
    const own = await buildOf(text);
    plane.runner.settle(own, { state: 'ready' });
    await untilSnapshot(plane, 'own', 'active');
    const reply = await plane.call('POST', '/api/snapshots', { name: 'theirs', buildInfo: { dockerfileContent: text } }, other.key);
    expect(reply.body.state).toBe('building');
    await until(async () => (await buildOf(text)) !== own, 'a build of their own');
    expect(plane.runner.sources.get(await buildOf(text))).toMatchObject({ organizationId: other.id });
    expect((await plane.call('GET', '/api/snapshots/own/build-logs', undefined, other.key)).status).toBe(404);
  });

  test('that is wanted again while the build that nobody wanted is on its way out is a new build', async () => {
    const text = dockerfile();
    await snapshot('again', text);
    const first = await buildOf(text);
    // Past the moment in which a build waits for whoever asked for it.
    await plane.context.db.run({ text: `update images set last_used_at = now() - interval '1 minute' where name = $1`, values: [first] });
    plane.runner.delayMs['DELETE'] = 1_000;
    await plane.call('DELETE', '/api/snapshots/again');
    await until(() => plane.runner.count(`DELETE ${first}`) > 0, 'it is being removed');
    expect((await snapshot('again', text)).body.state).toBe('building');
    await until(async () => (await buildOf(text)) !== first, 'another build');
    plane.runner.delayMs['DELETE'] = 0;
    plane.runner.settle(await buildOf(text), { state: 'ready' });
    await untilSnapshot(plane, 'again', 'active');
    await until(async () => (await plane.context.images.get(first)) === null, 'nothing is left of the first');
  });

  test('with a context that nobody uploaded fails at once; with one that is there gets its address', async () => {
    const text = dockerfile('COPY . /app');
    await snapshot('no-context', text, ['deadbeef']);
    await untilSnapshot(plane, 'no-context', 'build_failed');
    expect((await plane.call('GET', '/api/snapshots/no-context')).body.errorReason).toBe('Build context deadbeef was not found in object storage. Upload it again and repeat the build.');
    await plane.context.objects.blobs().put(`${organizationId}/cafe/context.tar`, Readable.from([Buffer.alloc(1024)]));
    await snapshot('context', text, ['cafe']);
    const source = plane.runner.sources.get(await buildOf(text));
    expect(source?.kind === 'build' && source.contexts).toEqual([expect.stringContaining(`/${organizationId}/cafe/context.tar`)]);
  });

  test('on a base of ours needs no registry', async () => {
    const text = `FROM --platform=linux/amd64 paddock/slim:1 AS base\nFROM base\nRUN echo ${++counter}`;
    await snapshot('ours', text);
    expect(plane.runner.sources.get(await buildOf(text))).toMatchObject({ localBases: { 'paddock/slim:1': 'slim' } });
  });

  test('that was put to sleep is built again when it is activated', async () => {
    const text = dockerfile();
    await snapshot('sleeper', text);
    plane.runner.settle(await buildOf(text), { state: 'ready' });
    await untilSnapshot(plane, 'sleeper', 'active');
    await plane.call('POST', '/api/snapshots/sleeper/deactivate');
    expect((await plane.call('POST', '/api/snapshots/sleeper/activate')).body.state).toBe('pending');
    await untilSnapshot(plane, 'sleeper', 'active'); // the build is less than a day old
  });
});

describe('a sandbox', () => {
  test('is answered as pending_build, then builds, is created and starts', async () => {
    const text = dockerfile();
    const { status, body } = await sandbox(text, { cpu: 2, memory: 2, disk: 5, env: { A: 'b' } });
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: 'pending_build', desiredState: 'started', cpu: 2, memory: 2, disk: 5, user: 'daytona', buildInfo: { dockerfileContent: text } });
    expect(body).not.toHaveProperty('snapshot');
    const name = await buildOf(text);
    await until(async () => (await plane.state(body.id)) === 'building_snapshot', 'it builds');
    expect((await plane.call('POST', `/api/sandbox/${body.id}/stop`)).status).toBe(409);
    plane.runner.settle(name, { state: 'ready', config: { entrypoint: null, cmd: null, workDir: null, user: 'app' } });
    await until(async () => (await plane.state(body.id)) === 'started', 'it is started');
    expect((await plane.call('GET', `/api/sandbox/${body.id}`)).body).toMatchObject({ user: 'app' });
    expect(plane.runner.sandboxes.get(body.id)?.spec).toMatchObject({ image: name, user: null, cpu: 2, memoryGiB: 2, diskGiB: 5, entrypoint: null });
    expect((await plane.call('GET', '/api/sandbox')).body.items.find((item: { id: string }) => item.id === body.id)).not.toHaveProperty('buildInfo');
  });

  test('whose build fails is build_failed with the reason, and can be deleted', async () => {
    const text = dockerfile();
    const { body } = await sandbox(text);
    plane.runner.settle(await buildOf(text), { state: 'failed', reason: 'RUN false ended with status 1' });
    await until(async () => (await plane.state(body.id)) === 'build_failed', 'it failed');
    expect((await plane.call('GET', `/api/sandbox/${body.id}`)).body.errorReason).toBe('RUN false ended with status 1');
    expect((await plane.call('DELETE', `/api/sandbox/${body.id}`)).status).toBe(200);
    await until(async () => (await plane.state(body.id)) === 'destroyed', 'it is gone');
  });

  test('whose build failed a week ago goes by itself, and no sooner', async () => {
    const failed = await Promise.all([sandbox(dockerfile()), sandbox(dockerfile())]);
    for (const { body } of failed) {
      plane.runner.settle(await buildOf(body.buildInfo.dockerfileContent), { state: 'failed', reason: 'no' });
      await until(async () => (await plane.state(body.id)) === 'build_failed', 'it failed');
    }
    const [old, younger] = failed.map(({ body }) => body.id as string) as [string, string];
    for (const [id, hours] of [[old, 7 * 24 + 1], [younger, 7 * 24 - 1]] as const) {
      await plane.context.db.run({ text: `update sandboxes set state_changed_at = now() - $2 * interval '1 hour' where id = $1`, values: [id, hours] });
    }
    // Any change of an interval makes the clocks look at once.
    await plane.call('POST', `/api/sandbox/${(await plane.create()).id}/autostop/15`);
    await until(async () => (await plane.state(old)) === 'destroyed', 'it is gone');
    expect(await plane.state(younger)).toBe('build_failed');
  });

  test('that is deleted while it is built ends the build', async () => {
    const text = dockerfile();
    const { body } = await sandbox(text);
    const name = await buildOf(text);
    expect((await plane.call('DELETE', `/api/sandbox/${body.id}`)).status).toBe(200);
    await until(() => plane.runner.count(`DELETE ${name}`) > 0, 'the build is cancelled', 15_000);
  });

  test('of an active snapshot whose image the runner has lost waits until it is there again', async () => {
    const text = dockerfile();
    await snapshot('losable', text);
    const name = await buildOf(text);
    plane.runner.settle(name, { state: 'ready' });
    await untilSnapshot(plane, 'losable', 'active');
    plane.runner.images = plane.runner.images.filter((image) => image.name !== name);
    const creating = plane.create({ snapshot: 'losable' });
    await until(() => plane.runner.count(`PUT ${name}`) === 2, 'it is built again');
    const states = async () => (await plane.context.db.query<{ state: string }>({ text: `select state from sandboxes where image = $1`, values: [name] })).map(({ state }) => state);
    await until(async () => (await states()).join() === 'pulling_snapshot', 'the sandbox waits for it');
    expect(await snapshotState(plane, 'losable')).toBe('active');
    plane.runner.settle(name, { state: 'ready' });
    expect((await creating).state).toBe('started');
  });
});

describe('the log of a build', () => {
  test.each(['ready', 'failed'] as const)('is followed until the build is %s, at every address', async (end) => {
    const text = dockerfile();
    const made = await snapshot(`logs-${end}`, text);
    const { body: box } = await sandbox(text);
    const name = await buildOf(text);
    plane.runner.logs.set(name, 'STEP 1\nSTEP 2\n');
    plane.runner.settle(name, { state: 'preparing' });
    const snapshotUrl = (await plane.call('GET', `/api/snapshots/${made.body.id}/build-logs-url`)).body.url as string;
    const sandboxUrl = (await plane.call('GET', `/api/sandbox/${box.id}/build-logs-url`)).body.url as string;
    for (const url of [snapshotUrl, sandboxUrl]) expect(url).toMatch(/^http:\/\/localhost:3000\/api\/build-logs\/[^?]+$/);
    const base = 'http://localhost/api';
    const followed = Promise.all([
      read(`${snapshotUrl}?follow=true`), read(`${sandboxUrl}?follow=true`, { authorization: 'Bearer of-anything' }),
      read(`${base}/snapshots/logs-${end}/build-logs?follow=true`, bearer), read(`${base}/sandbox/${box.id}/build-logs?follow=true`, bearer),
    ]);
    const early = await Promise.race([followed, sleep(300, 'still open')]);
    expect(early).toBe('still open');
    // Without follow: what there is now.
    expect((await Promise.race([read(`${base}/snapshots/logs-${end}/build-logs`, bearer), sleep(2_000)]))).toBeUndefined();
    plane.runner.settle(name, end === 'ready' ? { state: 'ready' } : { state: 'failed', reason: 'no' });
    const ended = await followed;
    expect(ended.map(({ status, type }) => [status, type])).toEqual([[200, 'text/plain; charset=utf-8'], [200, 'text/plain; charset=utf-8'], [200, 'application/octet-stream'], [200, 'application/octet-stream']]);
    for (const log of ended) expect(log.text).toBe('STEP 1\nSTEP 2\n');
    expect((await read(`${snapshotUrl}?follow=true`)).text).toBe('STEP 1\nSTEP 2\n');
  });

  test('goes on when the runner was killed in the middle', async () => {
    const text = dockerfile();
    await snapshot('killed', text);
    const name = await buildOf(text);
    plane.runner.logs.set(name, 'first\n');
    plane.runner.settle(name, { state: 'preparing' });
    const following = read('http://localhost/api/snapshots/killed/build-logs?follow=true', bearer);
    await sleep(300);
    await plane.runner.kill();
    plane.runner.images = plane.runner.images.filter((image) => image.name !== name);
    plane.runner.logs.set(name, 'second\n');
    await plane.runner.start();
    await until(() => plane.runner.count(`PUT ${name}`) === 2, 'it is built again');
    await sleep(300);
    plane.runner.settle(name, { state: 'ready' });
    expect((await following).text).toMatch(/first\n[^]*second\n$/);
    await untilSnapshot(plane, 'killed', 'active');
  });

  test('is 404 for what was not built, for addresses that were not handed out, and for old ones', async () => {
    expect((await plane.call('GET', '/api/snapshots/daytona-small/build-logs-url')).status).toBe(404);
    expect((await plane.call('GET', '/api/snapshots/daytona-small/build-logs?follow=true')).status).toBe(404);
    const started = await plane.create();
    for (const path of ['build-logs-url', 'build-logs']) {
      const reply = await plane.call('GET', `/api/sandbox/${started.id}/${path}`);
      expect([reply.status, reply.body.message]).toEqual([404, `Sandbox with ID ${started.id} has no build info`]);
    }
    const urls = new BuildLogUrls(Buffer.alloc(32), 'http://x');
    const url = urls.urlOf({ kind: 'sandbox', id: started.id }, 0);
    const token = url.split('/').at(-1)!;
    expect(urls.open(token, 3_600_000)).toEqual({ kind: 'sandbox', id: started.id });
    expect(urls.open(token, 3_600_001)).toBeNull();
    for (const wrong of [token, 'x', `${token}x`, token.replace('sandbox', 'snapshot')]) expect((await read(`http://x/api/build-logs/${wrong}?follow=true`)).status).toBe(404);
  });
});

test('a base image in our own registry comes with a credential for it, one elsewhere does not', async () => {
  const text = `FROM localhost:3000/${organizationId}/base:1 AS own\nFROM evil.example:3000/${organizationId}/base:1 AS other\nFROM localhost:3001/${organizationId}/x:1\nCOPY --from=own /a /\nCOPY --from=other /b /\nRUN echo ${++counter}`;
  await snapshot('own-base', text);
  const source = plane.runner.sources.get(await buildOf(text));
  expect(source?.kind === 'build' && source.auths.map(({ host }) => host)).toEqual(['localhost:3000']);
});
