import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daytona } from '@daytona/sdk';
import { CredentialIssuer, createS3Server, DiskBlobs } from '@paddock/store';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPaddock, type Paddock } from '../support/harness.ts';

/** With an object store elsewhere snapshots are published by default. Every process is killed in the middle of that, and the pool is lost afterwards. */
const directory = mkdtempSync(join(tmpdir(), 'paddock-elsewhere-'));
const blobs = new DiskBlobs(directory);
let s3: Server;
/** Of each write to the store. */
let delayMs = 0;
let writes = 0;
let away = false;
let paddock: Paddock;
let env: Record<string, string>;

beforeAll(async () => {
  const issuer = new CredentialIssuer(Buffer.alloc(32, 7));
  const handler = createS3Server({ blobs, issuer: () => Promise.resolve(issuer), bucket: 'elsewhere', region: 'us-east-1' });
  const serve = async (...[req, res, expects]: Parameters<typeof handler.handle>): Promise<void> => {
    if (away) return void req.socket.destroy();
    if (req.method === 'PUT' && Number(req.headers['content-length'] ?? 0) > 1_000_000) {
      writes += 1;
      await sleep(delayMs);
    }
    handler.handle(req, res, expects);
  };
  s3 = createServer((req, res) => void serve(req, res, false));
  s3.on('checkContinue', (req, res) => void serve(req, res, true));
  await new Promise<void>((resolve) => s3.listen(0, '127.0.0.1', resolve));
  const { accessKey, secretKey } = issuer.issue({ prefix: '', actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: null }, 'keys');
  env = { S3_ENDPOINT: `http://127.0.0.1:${(s3.address() as AddressInfo).port}`, S3_REGION: 'us-east-1', S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey, S3_DEFAULT_BUCKET: 'elsewhere' };
  paddock = await startPaddock({ env });
});
afterAll(async () => {
  await paddock?.stop();
  s3?.closeAllConnections();
  s3?.close();
  blobs.close();
  rmSync(directory, { recursive: true, force: true });
  expect(paddock?.leftovers() ?? []).toEqual([]);
});

const connect = (): Daytona => new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });

async function images(): Promise<Array<{ publication: string; state: string; problem: string | null }>> {
  const client = new pg.Client({ host: paddock.layout.postgresSocketDir, user: 'paddock', database: 'paddock' });
  await client.connect();
  try {
    return (await client.query<{ publication: string; state: string; problem: string | null }>(`select publication, state, publish_problem as problem from images where source ->> 'kind' = 'sandbox'`)).rows;
  } finally {
    await client.end();
  }
}

const stored = async (): Promise<string[]> => (await blobs.list('registry/repositories/paddock:images:', { limit: 1_000 })).blobs.map(({ key }) => key);

test('a publication ends whoever is killed and whenever, and the snapshot is usable all the while', async () => {
  const daytona = connect();
  const source = await daytona.create({}, { timeout: 120 });
  await source.process.executeCommand('head -c 200000000 /dev/urandom > data && sha256sum data > sum', undefined, undefined, 120);
  delayMs = 1_500;
  await source._experimental_createSnapshot('killed');
  await source.delete();
  for (const part of ['runner', 'control'] as const) {
    const before = writes;
    await expect.poll(() => writes, { timeout: 120_000 }).toBeGreaterThan(before + 1);
    expect((await images())[0]!.publication).not.toBe('published');
    const pid = paddock.pids()[part];
    expect(paddock.kill9(part)).toBe(true);
    await expect.poll(() => paddock.pids()[part] !== pid && paddock.pids()[part] > 0, { timeout: 30_000 }).toBe(true);
    await expect.poll(() => connect().create({ snapshot: 'killed' }, { timeout: 60 }).catch(() => null), { timeout: 60_000 }).not.toBeNull();
  }
  // The store is away for a while: that is waited for.
  away = true;
  await expect.poll(async () => (await images())[0]!.publication, { timeout: 120_000, interval: 500 }).toBe('waiting');
  expect((await images())[0]!.problem).toMatch(/\S/);
  away = false;
  delayMs = 0;
  await expect.poll(async () => (await images())[0]!.publication, { timeout: 180_000 }).toBe('published');
  expect(await stored()).toEqual(expect.arrayContaining([expect.stringContaining('/manifests/')]));
  // Those that were made in between.
  for await (const sandbox of connect().list()) await sandbox.delete();
}, 500_000);

test('and what it sent is whole: a machine with an empty pool makes sandboxes of it', async () => {
  await paddock.halt();
  for (const name of ['pool', 'pool.img', 'blobs']) rmSync(join(paddock.layout.dataDir, name), { recursive: true, force: true });
  paddock = await startPaddock({ env, earlier: paddock });
  const daytona = connect();
  const copy = await daytona.create({ snapshot: 'killed' }, { timeout: 120 });
  expect((await copy.process.executeCommand('sha256sum --check sum', undefined, undefined, 60)).result).toContain('OK');
  await copy.delete();
  await daytona.snapshot.delete(await daytona.snapshot.get('killed'));
  await expect.poll(images, { timeout: 60_000 }).toEqual([]);
  expect(await stored()).toEqual([]);
}, 300_000);
