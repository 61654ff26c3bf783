import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPlane, stopPlane, until, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Archive and restore as the control plane drives them; the copying itself is the runner's (packages/runner/test/archive-*.test.ts). */
let database: TestDatabase;
let plane: TestPlane;

beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create());
});
afterAll(async () => {
  await stopPlane(plane);
  await database.stop();
});

const SUMMARY = { sha256: 'a'.repeat(64), storedBytes: 10, diskBytes: 20 };
const dto = async (id: string) => (await plane.call('GET', `/api/sandbox/${id}`)).body;
const reached = (id: string, state: string) => until(async () => (await plane.state(id)) === state, `it is ${state}`);
const begun = (id: string, kind: 'archive' | 'restore') => until(() => plane.runner.transfers.get(id)?.status.kind === kind, `the runner was asked to ${kind} it`);

const imageOf = (id: string) => [...plane.runner.sources].find(([, source]) => source.kind === 'sandbox' && source.sandboxId === id)?.[0];

async function archiving(): Promise<string> {
  const { id } = await plane.create();
  await plane.call('POST', `/api/sandbox/${id}/stop`);
  await reached(id, 'stopped');
  const reply = await plane.call('POST', `/api/sandbox/${id}/archive`);
  expect([reply.status, reply.body.state, reply.body.desiredState, reply.body.backupState]).toEqual([200, 'archiving', 'archived', 'InProgress']);
  await begun(id, 'archive');
  return id;
}

async function archived(): Promise<string> {
  const id = await archiving();
  plane.runner.endTransfer(id, { state: 'done', archive: SUMMARY });
  await reached(id, 'archived');
  await until(() => !plane.runner.sandboxes.has(id), 'the runner has nothing of it any more');
  return id;
}

test('the runner keeps the disk until the row says that it is elsewhere, and has it again before the sandbox starts', async () => {
  const id = await archiving();
  expect(plane.runner.count(`DELETE ${id}`)).toBe(0);
  const { access } = plane.runner.transfers.get(id)!.body;
  expect(access.prefix).toMatch(/^archives\/[0-9a-f-]{36}\/$/);
  plane.runner.endTransfer(id, { state: 'done', archive: SUMMARY });
  await reached(id, 'archived');
  expect(await dto(id)).toMatchObject({ backupState: 'Completed', backupCreatedAt: expect.any(String), desiredState: 'archived' });
  expect((await dto(id)).runnerId).toBeUndefined();
  await until(() => plane.runner.count(`DELETE ${id}`) === 1, 'it is removed from the runner');

  const puts = plane.runner.count(`PUT ${id}`);
  const start = plane.call('POST', `/api/sandbox/${id}/start`);
  await begun(id, 'restore');
  expect(await plane.state(id)).toBe('restoring');
  expect(plane.runner.count(`PUT ${id}`)).toBe(puts);
  expect(plane.runner.transfers.get(id)!.body).toMatchObject({ sha256: SUMMARY.sha256, access: { prefix: access.prefix }, spec: { id } });
  plane.runner.endTransfer(id, { state: 'done' });
  expect((await start).body).toMatchObject({ state: 'started', backupState: 'None' });
  expect((await dto(id)).runnerId).toBeDefined();
});

describe('an archive that fails', () => {
  test('for good leaves the sandbox stopped, with the reason, and can be tried again in a place of its own', async () => {
    const id = await archiving();
    const { prefix } = plane.runner.transfers.get(id)!.body.access;
    plane.runner.endTransfer(id, { state: 'failed', transient: false, reason: 'The object store is full' });
    await reached(id, 'stopped');
    expect(await dto(id)).toMatchObject({ errorReason: 'Archiving failed: The object store is full', backupState: 'Error', desiredState: 'stopped' });
    expect(plane.runner.count(`DELETE ${id}`)).toBe(0);
    plane.runner.transfers.delete(id);
    expect((await plane.call('POST', `/api/sandbox/${id}/archive`)).body.state).toBe('archiving');
    await begun(id, 'archive');
    expect(plane.runner.transfers.get(id)!.body.access.prefix).not.toBe(prefix);
  });

  test('for a while is taken up again where it was', async () => {
    const id = await archiving();
    const { prefix } = plane.runner.transfers.get(id)!.body.access;
    plane.runner.endTransfer(id, { state: 'failed', transient: true, reason: 'The object store does not answer' });
    await until(() => plane.runner.transfers.get(id)!.status.state === 'running', 'it is asked for again');
    expect(plane.runner.transfers.get(id)!.body.access.prefix).toBe(prefix);
    expect(await plane.state(id)).toBe('archiving');
  });

  test('to be told of, as the runner died, is asked for again', async () => {
    const id = await archiving();
    await plane.runner.kill();
    plane.runner.transfers.delete(id);
    await plane.runner.start();
    await begun(id, 'archive');
    plane.runner.endTransfer(id, { state: 'done', archive: SUMMARY }, false);
    await reached(id, 'archived');
  });
});

test('a start gives the archive up, also when the runner finishes it after all', async () => {
  const id = await archiving();
  expect((await plane.call('POST', `/api/sandbox/${id}/start`)).body).toMatchObject({ state: 'started', backupState: 'None' });
  plane.runner.endTransfer(id, { state: 'done', archive: SUMMARY });
  await until(async () => (await plane.state(id)) === 'started', 'it runs');
  expect(plane.runner.sandboxes.get(id)!.state).toBe('started');
});

test('a delete works while it is archived, archived, or restored', async () => {
  const early = await archiving();
  expect((await plane.call('DELETE', `/api/sandbox/${early}`)).status).toBe(200);
  await reached(early, 'destroyed');
  const late = await archived();
  void plane.call('POST', `/api/sandbox/${late}/start`);
  await begun(late, 'restore');
  expect((await plane.call('DELETE', `/api/sandbox/${late}`)).status).toBe(200);
  await reached(late, 'destroyed');
  await until(() => !plane.runner.sandboxes.has(late), 'nothing is left');
});

test('a restore that fails is an error that keeps the archive; recovering restores, and never starts an empty disk', async () => {
  const id = await archived();
  const puts = plane.runner.count(`PUT ${id}`);
  const start = plane.call('POST', `/api/sandbox/${id}/start`);
  await begun(id, 'restore');
  plane.runner.endTransfer(id, { state: 'failed', transient: false, reason: 'The archive is damaged: piece 3' });
  const failed = await start;
  expect([failed.status, failed.body.message]).toEqual([400, 'Sandbox failed to start: Restoring failed: The archive is damaged: piece 3']);
  expect(await dto(id)).toMatchObject({ state: 'error', recoverable: true });

  expect((await plane.call('POST', `/api/sandbox/${id}/recover?skipStart=true`)).body).toMatchObject({ state: 'archived', desiredState: 'archived' });
  const again = plane.call('POST', `/api/sandbox/${id}/start`);
  await until(() => plane.runner.transfers.get(id)!.status.state === 'running', 'it is restored again');
  plane.runner.endTransfer(id, { state: 'failed', transient: false, reason: 'The runner\'s storage is full' });
  expect((await again).status).toBe(400);
  const recover = plane.call('POST', `/api/sandbox/${id}/recover`);
  await until(() => plane.runner.transfers.get(id)!.status.state === 'running', 'it is restored once more');
  expect(plane.runner.count(`PUT ${id}`)).toBe(puts);
  plane.runner.endTransfer(id, { state: 'done' });
  expect((await recover).body.state).toBe('started');
});

test('usage: a sandbox being archived, or snapshotted while it is stopped, has its disk only; an archived one nothing', async () => {
  const { body: [organization] } = await plane.call('GET', '/api/organizations');
  const usage = async () => {
    const { regionUsage: [region] } = (await plane.call('GET', `/api/organizations/${organization.id}/usage`)).body;
    return [region.currentCpuUsage, region.currentMemoryUsage, region.currentDiskUsage];
  };
  const before = await usage();
  const over = async () => (await usage()).map((amount, i) => amount - before[i]);
  const id = await archiving();
  expect((await plane.call('POST', `/api/sandbox/${id}/backup`)).body.message).toMatch(/in progress/);
  expect(await over()).toEqual([0, 0, 3]);
  plane.runner.endTransfer(id, { state: 'done', archive: SUMMARY });
  await reached(id, 'archived');
  expect(await over()).toEqual([0, 0, 0]);
  await plane.call('DELETE', `/api/sandbox/${id}`);

  const other = await plane.create();
  expect(await over()).toEqual([1, 1, 3]);
  await plane.call('POST', `/api/sandbox/${other.id}/stop`);
  await reached(other.id, 'stopped');
  const asked = plane.call('POST', `/api/sandbox/${other.id}/snapshot`, { name: 'usage' });
  await reached(other.id, 'snapshotting');
  expect(await over()).toEqual([0, 0, 3]);
  await until(() => imageOf(other.id) !== undefined, 'the runner was asked');
  plane.runner.settle(imageOf(other.id)!, { state: 'ready' });
  await asked;
});

test('what a runner still has of an archived sandbox is removed when everything is compared', async () => {
  const id = await archived();
  plane.runner.sandboxes.set(id, { spec: { id, image: 'slim', volumes: [] } as never, state: 'stopped' });
  await plane.runner.kill();
  await plane.runner.start();
  await until(() => !plane.runner.sandboxes.has(id), 'it is removed');
  expect(await plane.state(id)).toBe('archived');
});

test('a control plane that is started anew finishes what the earlier one began', async () => {
  const [first, second] = [await archiving(), await archived()];
  void plane.call('POST', `/api/sandbox/${second}/start`).catch(() => undefined);
  await begun(second, 'restore');
  await plane.close();
  plane.runner.endTransfer(first, { state: 'done', archive: SUMMARY }, false);
  plane.runner.endTransfer(second, { state: 'done' }, false);
  plane = await startPlane(plane.config.databaseUrl!, { earlier: plane });
  await reached(first, 'archived');
  await reached(second, 'started');
});

describe('a resize', () => {
  test('that the runner refuses is told and leaves the sandbox as it was', async () => {
    const { id } = await plane.create();
    plane.runner.failNext.PATCH = 'INVALID_SPEC';
    const refused = await plane.call('POST', `/api/sandbox/${id}/resize`, { cpu: 2 });
    expect([refused.status, refused.body.message]).toEqual([400, 'Resize failed: peer says INVALID_SPEC']);
    expect(await dto(id)).toMatchObject({ state: 'started', cpu: 1 });
    expect((await plane.call('POST', `/api/sandbox/${id}/resize`, { cpu: 2, memory: 3 })).body).toMatchObject({ state: 'started', cpu: 2, memory: 3 });
    expect(plane.runner.sandboxes.get(id)!.spec).toMatchObject({ cpu: 2, memoryGiB: 3 });
  });

  test('waits for a runner that restarts, and is shown meanwhile', async () => {
    const { id } = await plane.create();
    await plane.runner.kill();
    const resize = plane.call('POST', `/api/sandbox/${id}/resize`, { memory: 2 });
    await reached(id, 'resizing');
    expect((await plane.call('POST', `/api/sandbox/${id}/stop`)).status).toBe(409);
    await plane.runner.start();
    expect((await resize).body.memory).toBe(2);
    await reached(id, 'started');
  });
});

describe('a snapshot', () => {
  test('is not for suspended organizations', async () => {
    const { id } = await plane.create();
    const suspend = (suspended: boolean) => plane.context.db.run({ text: `update organizations set suspended = ${suspended}, suspension_reason = 'unpaid'`, values: [] });
    await suspend(true);
    const refused = await plane.call('POST', `/api/sandbox/${id}/snapshot`, { name: 'suspended' });
    await suspend(false);
    expect([refused.status, refused.body.message]).toEqual([403, 'Organization is suspended: unpaid']);
    expect((await plane.call('GET', '/api/snapshots/suspended')).status).toBe(404);
  });

  test('shows itself and the sandbox as snapshotting until the image is there; a new policy reaches the sandbox meanwhile', async () => {
    const { id } = await plane.create();
    const asked = plane.call('POST', `/api/sandbox/${id}/snapshot`, { name: 'of-sandbox' });
    await until(() => imageOf(id) !== undefined, 'the runner was asked');
    await reached(id, 'snapshotting');
    expect((await plane.call('GET', '/api/snapshots/of-sandbox')).body).toMatchObject({ state: 'snapshotting', sourceSandboxId: id });
    expect((await plane.call('POST', `/api/sandbox/${id}/stop`)).status).toBe(409);
    const patches = plane.runner.count(`PATCH ${id}`);
    expect((await plane.call('POST', `/api/sandbox/${id}/network-settings`, { networkBlockAll: true })).status).toBe(200);
    expect(plane.runner.count(`PATCH ${id}`)).toBe(patches + 1);
    expect(plane.runner.sandboxes.get(id)!.spec.network.blockAll).toBe(true);
    plane.runner.settle(imageOf(id)!, { state: 'ready' });
    expect((await asked).body).toMatchObject({ state: 'started', desiredState: 'started' });
    expect((await plane.call('GET', '/api/snapshots/of-sandbox')).body.state).toBe('active');
  });

  test('that fails is told, and the sandbox is as it was', async () => {
    const { id } = await plane.create();
    await plane.call('POST', `/api/sandbox/${id}/stop`);
    await reached(id, 'stopped');
    const asked = plane.call('POST', `/api/sandbox/${id}/snapshot`, { name: 'not-made' });
    await until(() => imageOf(id) !== undefined, 'the runner was asked');
    plane.runner.settle(imageOf(id)!, { state: 'failed', reason: 'The runner\'s storage is full' });
    const reply = await asked;
    expect([reply.status, reply.body.message]).toEqual([400, 'Snapshot not-made could not be created: The runner\'s storage is full']);
    expect(await plane.state(id)).toBe('stopped');
    expect((await plane.call('GET', '/api/snapshots/not-made')).body).toMatchObject({ state: 'error', errorReason: 'The runner\'s storage is full' });
  });
});
