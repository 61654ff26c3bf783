import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RegistryAuth } from '@paddock/contract';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PUBLICATIONS, PUBLICATION_MOVES, type PublicationTrigger } from '../src/images/publication.ts';
import { RegistryShelf } from '../src/docker-registry/index.ts';
import { publishes } from '../src/images/index.ts';
import { ordered, snapshotState, untilOrdered, untilSnapshot } from './images-support.ts';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, testConfig, type TestDatabase } from './support.ts';

/** Images that were made here go into this server's registry and come back from there; the sending itself is the runner's (packages/runner/test/images-publish*.test.ts). */
let database: TestDatabase;
let plane: TestPlane;
let url: string;
let server: Server;
let made = 0;
const ALWAYS = { images: { publish: 'always' } } as const;

beforeAll(async () => {
  database = await startTestDatabase();
  url = await database.create();
  plane = await startPlane(url, { config: ALWAYS });
  const registry = await plane.context.registry.open();
  server = createServer((req, res) => registry.handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await stopPlane(plane);
  await database.stop();
});
beforeEach(() => { made += 1; });

const row = async (name: string) => plane.context.images.get(name);
const asked = (name: string) => plane.runner.count(`PUBLISH ${name}`);
const begun = (name: string) => until(() => plane.runner.publications.get(name)?.status.state === 'running', `${name} is being published`);
const published = (name: string) => until(async () => (await row(name))?.publication === 'published', `${name} is published`);

/** A snapshot whose image the runner has. @returns the image's name */
async function built(snapshot = `built-${made}`): Promise<string> {
  const count = ordered(plane, 'build').length;
  await plane.call('POST', '/api/snapshots', { name: snapshot, buildInfo: { dockerfileContent: `FROM x\nRUN ${snapshot}` } });
  const name = await untilOrdered(plane, 'build', count + 1);
  plane.runner.settle(name, { state: 'ready' });
  await untilSnapshot(plane, snapshot, 'active');
  return name;
}

async function ofSandbox(snapshot = `of-sandbox-${made}`): Promise<string> {
  const { id } = await plane.create();
  const count = ordered(plane, 'sandbox').length;
  const asked = plane.call('POST', `/api/sandbox/${id}/snapshot`, { name: snapshot });
  const name = await untilOrdered(plane, 'sandbox', count + 1);
  plane.runner.settle(name, { state: 'ready' });
  await untilSnapshot(plane, snapshot, 'active');
  await asked;
  await plane.call('DELETE', `/api/sandbox/${id}`);
  return name;
}

async function publishedOne(make: () => Promise<string>): Promise<string> {
  const name = await make();
  await begun(name);
  plane.runner.endPublication(name, { state: 'done' });
  await published(name);
  return name;
}

const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const call = ({ username, password }: RegistryAuth, method: string, path: string, body?: string, type = 'application/octet-stream') => fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, {
  method, ...(body === undefined ? {} : { body }), headers: { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`, 'content-type': type },
});

/** As the runner would. @returns reads the manifest's status */
async function push(name: string): Promise<() => Promise<number>> {
  const { repository, auth } = await new RegistryShelf(plane.context.registry).placeOf(name);
  const path = repository.slice(repository.indexOf('/') + 1);
  expect((await call(auth, 'POST', `/v2/${path}/blobs/uploads/?digest=${sha256('{}')}`, '{}')).status).toBe(201);
  const manifest = JSON.stringify({
    schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256('{}'), size: 2 }, layers: [],
  });
  expect((await call(auth, 'PUT', `/v2/${path}/manifests/${sha256(manifest)}`, manifest, 'application/vnd.oci.image.manifest.v1+json')).status).toBe(201);
  return async () => (await call(auth, 'GET', `/v2/${path}/manifests/${sha256(manifest)}`)).status;
}

test('moves of publications: a new one is a decision to be made here too', () => {
  const rows = (Object.keys(PUBLICATION_MOVES) as PublicationTrigger[]).flatMap((trigger) => PUBLICATION_MOVES[trigger].from.map((from) => `${from} ─${trigger}▶ ${PUBLICATION_MOVES[trigger].to}`));
  expect(rows.sort()).toEqual(['none ─publish▶ published', 'none ─refuse▶ refused', 'none ─retry▶ waiting', 'published ─forget▶ none', 'waiting ─publish▶ published', 'waiting ─refuse▶ refused', 'waiting ─retry▶ waiting']);
  expect(PUBLICATIONS.filter((state) => !rows.some((line) => line.endsWith(` ${state}`)))).toEqual([]);
});

test('whether to publish: where the object store outlives the machine, unless told otherwise', () => {
  const { objectStore } = testConfig(url);
  const external = { ...objectStore, endpoint: 'https://s3.example.com' };
  expect((['auto', 'always', 'never'] as const).map((publish) => [publishes({ images: { publish }, objectStore }), publishes({ images: { publish }, objectStore: external })]))
    .toEqual([[false, true], [true, true], [false, false]]);
});

describe('an image that was made here', () => {
  test.each([['a sandbox', 'disk', () => ofSandbox()], ['a build', 'image', () => built()]] as const)('of %s is published to a place of its own, and pulled from there when the runner lost it', async (_, kind, make) => {
    const name = await make();
    await begun(name);
    const { repository, username } = plane.runner.publications.get(name)!;
    expect(repository).toBe(`${plane.context.registry.address}/paddock/images/${name}`);
    expect(username).toMatch(/^paddock-/);
    plane.runner.endPublication(name, { state: 'done' });
    await published(name);
    expect((await row(name))!.published).toBe(`paddock/images/${name}@sha256:${'d'.repeat(64)}`);
    plane.runner.images = plane.runner.images.filter((image) => image.name !== name);
    await plane.runner.kill();
    await plane.runner.start();
    await until(() => plane.runner.sources.get(name)?.kind === 'registry', 'it is pulled');
    expect(plane.runner.sources.get(name)).toMatchObject({ reference: `${plane.context.registry.address}/paddock/images/${name}@sha256:${'d'.repeat(64)}`, published: kind, auth: { host: plane.context.registry.address } });
    plane.runner.settle(name, { state: 'ready' });
    await until(async () => (await row(name))!.state === 'ready', 'it is there again');
    expect(asked(name)).toBeLessThan(4);
  });

  test('is tried again, later and later, while the cause may pass; the snapshot knows nothing of it', async () => {
    const name = await built();
    await begun(name);
    plane.runner.endPublication(name, { state: 'failed', transient: true, reason: 'the store is away' });
    await until(async () => (await row(name))!.publication === 'waiting', 'it waits');
    expect(await row(name)).toMatchObject({ publishAttempts: 1, publishProblem: 'the store is away', publishAt: expect.any(Date) });
    expect(await snapshotState(plane, `built-${made}`)).toBe('active');
    const before = asked(name);
    await until(() => asked(name) > before, 'it is asked for again');
    expect(Date.now()).toBeGreaterThanOrEqual((await row(name))!.publishAt!.getTime());
    plane.runner.endPublication(name, { state: 'done' });
    await published(name);
    expect(await row(name)).toMatchObject({ publishAttempts: 0, publishProblem: null });
  });

  test('whose files cannot be published stays as it is, with the reason', async () => {
    const name = await ofSandbox();
    await begun(name);
    plane.runner.endPublication(name, { state: 'failed', transient: false, reason: 'it has a file that no image can have' });
    await until(async () => (await row(name))!.publication === 'refused', 'it is refused');
    expect((await row(name))!.publishProblem).toBe('it has a file that no image can have');
    const before = asked(name);
    plane.runner.settle(name, { state: 'ready' });
    await until(async () => (await row(name))!.state === 'ready', 'it is as before');
    expect(asked(name)).toBe(before);
    expect(await snapshotState(plane, `of-sandbox-${made}`)).toBe('active');
  });

  test('from a Dockerfile is built again when the registry does not have it any more, and published anew', async () => {
    const name = await publishedOne(built);
    plane.runner.images = plane.runner.images.filter((image) => image.name !== name);
    await plane.context.images.move(name, 'lost', { sizeBytes: null });
    await until(() => plane.runner.sources.get(name)?.kind === 'registry', 'it is pulled');
    plane.runner.settle(name, { state: 'failed', reason: 'there is no such manifest' });
    await until(() => plane.runner.sources.get(name)?.kind === 'build', 'it is built', 20_000);
    plane.runner.settle(name, { state: 'ready' });
    await begun(name);
    expect((await row(name))!.published).toBeNull();
    plane.runner.endPublication(name, { state: 'done' });
    await published(name);
  });
});

describe('a snapshot that sleeps', () => {
  const sleep = async (name: string) => (await plane.call('POST', `/api/snapshots/${name}/deactivate`)).status;
  const wake = async (name: string) => (await plane.call('POST', `/api/snapshots/${name}/activate`)).body.state;

  test.each([['of-sandbox', ofSandbox], ['built', built]] as const)('%s and published frees the runner and comes back from the registry', async (prefix, make) => {
    const snapshot = `${prefix}-${made}`;
    const name = await publishedOne(() => make(snapshot));
    expect(await sleep(snapshot)).toBe(204);
    await until(async () => (await row(name))?.state === 'away', 'it is in the registry only', 20_000);
    expect(plane.runner.count(`DELETE ${name}`)).toBe(1);
    expect(await wake(snapshot)).toBe('pulling');
    await until(() => plane.runner.sources.get(name)?.kind === 'registry', 'it is pulled');
    plane.runner.settle(name, { state: 'ready' });
    await untilSnapshot(plane, snapshot, 'active');
    expect((await plane.call('GET', `/api/snapshots/${snapshot}`)).body.errorReason).toBeNull();
    expect((await row(name))!.publication).toBe('published');
  });

  test('and was built is taken from the registry by the same build again, and its log ends', async () => {
    const snapshot = `built-${made}`;
    const name = await publishedOne(() => built(snapshot));
    await sleep(snapshot);
    await until(async () => (await row(name))?.state === 'away', 'it is away', 20_000);
    expect((await plane.call('GET', `/api/snapshots/${snapshot}/build-logs?follow=true`)).status).toBe(200);
    const { body } = await plane.call('POST', '/api/snapshots', { name: `${snapshot}-twin`, buildInfo: { dockerfileContent: `FROM x\nRUN ${snapshot}` } });
    expect(body.state).toBe('pulling');
    await until(() => plane.runner.sources.get(name)?.kind === 'registry', 'it is pulled');
    plane.runner.settle(name, { state: 'ready' });
    await untilSnapshot(plane, `${snapshot}-twin`, 'active');
    expect(await snapshotState(plane, snapshot)).toBe('inactive');
  });

  test('made of a sandbox and not published keeps the runner\'s copy, which is all there is', async () => {
    const snapshot = `of-sandbox-${made}`;
    const name = await ofSandbox(snapshot);
    await begun(name);
    await sleep(snapshot);
    plane.context.images.collect();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await row(name)).toMatchObject({ state: 'ready', publication: 'none' });
    expect(await wake(snapshot)).toBe('active');
  });

  test('is not shown as lost when the runner still had it, and what the runner keeps by mistake is removed', async () => {
    const snapshot = `of-sandbox-${made}`;
    const name = await publishedOne(() => ofSandbox(snapshot));
    await sleep(snapshot);
    await until(async () => (await row(name))?.state === 'away', 'it is away', 20_000);
    plane.runner.settle(name, { state: 'ready' });
    await until(() => plane.runner.count(`DELETE ${name}`) === 2, 'it is told again');
    expect((await row(name))!.state).toBe('away');
  });
});

describe('an archive', () => {
  async function stopped(snapshot: string): Promise<string> {
    const { id } = await plane.create({ snapshot });
    await plane.call('POST', `/api/sandbox/${id}/stop`);
    await until(async () => (await plane.state(id)) === 'stopped', 'it is stopped');
    return id;
  }

  test('waits for the image it needs, and the image stays in the registry as long as the archive does', async () => {
    const snapshot = `of-sandbox-${made}`;
    const name = await ofSandbox(snapshot);
    await begun(name);
    const id = await stopped(snapshot);
    await plane.call('POST', `/api/sandbox/${id}/archive`);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(plane.runner.transfers.has(id)).toBe(false);
    plane.runner.endPublication(name, { state: 'done' });
    await until(() => plane.runner.transfers.has(id), 'it is archived');
    plane.runner.endTransfer(id, { state: 'done', archive: { sha256: 'a'.repeat(64), storedBytes: 1, diskBytes: 1 } });
    await until(async () => (await plane.state(id)) === 'archived', 'it is archived');
    await plane.call('DELETE', `/api/snapshots/${snapshot}`);
    await until(async () => (await row(name))?.state === 'away', 'its image is in the registry only', 20_000);
    const started = plane.call('POST', `/api/sandbox/${id}/start`);
    await until(() => plane.runner.sources.get(name)?.kind === 'registry', 'the image comes back');
    expect(plane.runner.transfers.get(id)!.status.kind).toBe('archive');
    plane.runner.settle(name, { state: 'ready' });
    await until(() => plane.runner.transfers.get(id)!.status.kind === 'restore', 'then the disk', 15_000);
    plane.runner.endTransfer(id, { state: 'done' });
    expect((await started).body.state).toBe('started');
    await plane.call('DELETE', `/api/sandbox/${id}`);
  });

  test('whose image cannot be stored is refused with the reason, and the sandbox stays stopped with its disk', async () => {
    const snapshot = `of-sandbox-${made}`;
    const name = await ofSandbox(snapshot);
    await begun(name);
    plane.runner.endPublication(name, { state: 'failed', transient: false, reason: 'it has too many holes' });
    const id = await stopped(snapshot);
    await plane.call('POST', `/api/sandbox/${id}/archive`);
    await until(async () => (await plane.call('GET', `/api/sandbox/${id}`)).body.errorReason !== undefined && (await plane.state(id)) === 'stopped', 'it is stopped again');
    expect((await plane.call('GET', `/api/sandbox/${id}`)).body.errorReason).toContain('could not be stored: it has too many holes');
    expect(plane.runner.sandboxes.has(id)).toBe(true);
    await plane.call('DELETE', `/api/sandbox/${id}`);
  });
});

describe('what is not needed', () => {
  test('goes from the registry with the row', async () => {
    const name = await publishedOne(ofSandbox);
    const status = await push(name);
    expect(await status()).toBe(200);
    await plane.call('DELETE', `/api/snapshots/of-sandbox-${made}`);
    await until(async () => (await row(name)) === null, 'its row is gone', 20_000);
    expect(await status()).toBe(404);
  });

  test('and was being removed when the control plane was killed, or came when its row was gone, is removed by the next one', async () => {
    const name = await publishedOne(ofSandbox);
    const status = await push(name);
    const late = await push('sandbox-00000000-0000-4000-8000-000000000001');
    const running = await ofSandbox(`running-${made}`);
    await begun(running);
    const first = plane;
    await first.close();
    // Untold: the event went nowhere. The other row is on its way out, its image gone from the runner.
    plane.runner.endPublication(running, { state: 'done' }, false);
    plane.runner.images = plane.runner.images.filter((image) => image.name !== name);
    plane = await startPlane(url, { config: ALWAYS, earlier: first });
    await plane.context.db.run({ text: `update snapshots set state = 'removing' where image = $1`, values: [name] });
    await until(async () => (await row(name)) === null, 'its row is gone', 20_000);
    expect([await status(), await late()]).toEqual([404, 404]);
    await published(running);
  });
});

test('without the setting nothing is published, and what was before is still used', async () => {
  const name = await publishedOne(ofSandbox);
  const first = plane;
  await first.close();
  plane = await startPlane(url, { earlier: first });
  const other = await built();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(asked(other)).toBe(0);
  plane.runner.images = plane.runner.images.filter((image) => image.name !== name);
  await plane.context.images.move(name, 'lost', { sizeBytes: null });
  await until(() => plane.runner.sources.get(name)?.kind === 'registry', 'it is pulled');
});
