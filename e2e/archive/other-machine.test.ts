import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Daytona, Image, type Sandbox } from '@daytona/sdk';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPaddock, type Paddock } from '../support/harness.ts';

/** The machine with the pool is gone; database and object store are not. What was snapshot, built or archived before is there as it was. */
const env = { PADDOCK_PUBLISH_IMAGES: 'always' };
let paddock: Paddock;
let daytona: Daytona;
let archivedId: string;
let contents: string;

const connect = (): void => { daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey }); };
const run = async (sandbox: Sandbox, command: string): Promise<string> => (await sandbox.process.executeCommand(command)).result;
const stateOf = async (id: string): Promise<string> => String((await daytona.get(id)).state);
const snapshotState = async (name: string): Promise<string> => String((await daytona.snapshot.get(name)).state);

async function rows<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ host: paddock.layout.postgresSocketDir, user: 'paddock', database: 'paddock' });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

const publications = () => rows<{ kind: string; publication: string; problem: string | null; state: string }>(
  `select source ->> 'kind' as kind, publication, publish_problem as problem, state from images where source ->> 'kind' in ('build', 'sandbox') order by 1`,
);

/** Owners, modes, links and content of everything below, but for what differs from sandbox to sandbox. */
const LISTING = `cd / && sudo find etc opt home usr/local srv -printf '%p %y %m %U:%G %n %l ' \\( -type f -printf '%s ' -o -true \\) -printf '\\n' | grep -v -e '^etc/host' -e '^etc/resolv' -e '^etc/mtab' | sort | sha256sum;
  sudo find opt srv home -type f -print0 | sort -z | sudo xargs -0 sha256sum | sha256sum`;

const MAKE = `set -e; sudo mkdir -p /opt/kept/opaque /srv/links; sudo sh -c 'head -c 20000000 /dev/urandom > /opt/kept/random; ln /opt/kept/random /srv/links/hard; ln -s ../opt /srv/links/soft
  echo tool > /usr/local/bin/tool; chown 1234:4321 /usr/local/bin/tool; chmod 6755 /usr/local/bin/tool; rm -r /etc/skel; rm -r /etc/apt && mkdir /etc/apt && echo mine > /etc/apt/only; truncate -s 3G /opt/kept/sparse'; echo base > ~/base; echo going > ~/going`;

beforeAll(async () => {
  paddock = await startPaddock({ env });
  connect();
});
afterAll(async () => {
  await paddock?.stop();
  expect(paddock?.leftovers() ?? []).toEqual([]);
});

test('a snapshot of a sandbox, a build and an archived sandbox are stored elsewhere than on the pool', async () => {
  const source = await daytona.create({}, { timeout: 120 });
  await run(source, MAKE);
  await source._experimental_createSnapshot('of-sandbox');
  contents = await run(source, LISTING);
  await source.delete();
  await daytona.snapshot.create({ name: 'of-build', image: Image.base('paddock/slim').runCommands('echo built > /etc/built && rm -r /etc/skel').env({ BUILT: 'yes' }).workdir('/srv') }, { timeout: 180 });
  const sandbox = await daytona.create({ snapshot: 'of-sandbox' }, { timeout: 60 });
  expect(await run(sandbox, LISTING)).toBe(contents);
  // What the snapshot alone had is removed without a trace that says so: the archive only fits on the snapshot's own disk.
  await run(sandbox, 'echo own > ~/own; rm ~/going; sudo sh -c "echo more >> /opt/kept/random"');
  archivedId = sandbox.id;
  await sandbox.stop();
  await sandbox.archive();
  await expect.poll(() => stateOf(archivedId), { timeout: 120_000 }).toBe('archived');
  await expect.poll(publications, { timeout: 120_000 }).toEqual([expect.objectContaining({ kind: 'build', publication: 'published' }), expect.objectContaining({ kind: 'sandbox', publication: 'published' })]);
}, 400_000);

test('on a machine with an empty pool sandboxes are made of both, and the archived one starts', async () => {
  await paddock.halt();
  for (const name of ['pool', 'pool.img']) rmSync(join(paddock.layout.dataDir, name), { recursive: true, force: true });
  paddock = await startPaddock({ env, earlier: paddock });
  expect(existsSync(join(paddock.layout.dataDir, 'pool.img'))).toBe(true);
  connect();
  const copy = await daytona.create({ snapshot: 'of-sandbox' }, { timeout: 120 });
  expect(await run(copy, LISTING)).toBe(contents);
  expect(await run(copy, 'cat ~/base ~/going; ls /etc/apt; ls /etc/skel 2>&1 | grep -c "No such"; stat -c %h /srv/links/hard; du -m /opt/kept/sparse | cut -f1')).toBe('base\ngoing\nonly\n1\n2\n0\n');
  const built = await daytona.create({ snapshot: 'of-build' }, { timeout: 120 });
  expect(await run(built, 'cat /etc/built; echo $BUILT; pwd; ls -d /etc/skel 2>&1 | grep -c "No such"')).toBe('built\nyes\n/srv\n1\n');
  const restored = await daytona.get(archivedId);
  await restored.start(120);
  expect(await run(restored, 'cat ~/own ~/base; ls ~/going 2>&1 | grep -c "No such"; tail -c 5 /opt/kept/random; stat -c %U:%a /usr/local/bin/tool')).toBe('own\nbase\n1\nmore\nUNKNOWN:6755\n');
  for (const sandbox of [copy, built, restored]) await sandbox.delete();
}, 400_000);

test('deactivated they leave the pool, and come back with the same content', async () => {
  const call = (path: string, method = 'POST') => fetch(paddock.apiUrl + path, { method, headers: { authorization: `Bearer ${paddock.apiKey}` } });
  for (const name of ['of-sandbox', 'of-build']) expect((await call(`/snapshots/${(await daytona.snapshot.get(name)).id}/deactivate`)).status).toBe(204);
  await expect.poll(async () => (await publications()).map(({ state }) => state), { timeout: 60_000 }).toEqual(['away', 'away']);
  for (const name of ['of-sandbox', 'of-build']) {
    expect(await snapshotState(name)).toBe('inactive');
    expect((await call(`/snapshots/${(await daytona.snapshot.get(name)).id}/activate`)).status).toBe(200);
    await expect.poll(() => snapshotState(name), { timeout: 60_000 }).toBe('active');
  }
  const copy = await daytona.create({ snapshot: 'of-sandbox' }, { timeout: 120 });
  expect(await run(copy, LISTING)).toBe(contents);
  await copy.delete();
}, 200_000);

test('deleted they leave the registry, too', async () => {
  const stored = () => readdirSync(join(paddock.layout.blobDir, 'tree'), { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('images') && path.includes('sandbox-'));
  expect(stored().some((path) => path.includes('manifests'))).toBe(true);
  for (const name of ['of-sandbox', 'of-build']) await daytona.snapshot.delete(await daytona.snapshot.get(name));
  await expect.poll(async () => (await rows(`select 1 from images where source ->> 'kind' = 'sandbox'`)).length, { timeout: 60_000 }).toBe(0);
  expect(stored().filter((path) => path.includes('manifests') || path.includes('sha256'))).toEqual([]);
}, 200_000);
