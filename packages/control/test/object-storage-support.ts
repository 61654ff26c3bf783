import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { S3Client } from '@aws-sdk/client-s3';
import { type ChildMessage, type PaddockConfig, type StorageAccess, SUPERVISED_ENV } from '@paddock/contract';
import pg from 'pg';
import { ADMIN_KEY, testConfig } from './support.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** The control plane as the supervisor starts it: root first, then the service user. */
export interface ControlProcess {
  readonly child: ChildProcess;
  readonly port: number;
  readonly origin: string;
  /** What it said when it refused to start, null: it serves. */
  readonly refusal: string | null;
  pushAccess(key?: string): Promise<StorageAccess>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export function build(): void {
  execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts'), '--quiet']);
}

export async function startControl(databaseUrl: string, config: Partial<PaddockConfig>): Promise<ControlProcess> {
  const port = config.port ?? await freePort();
  const child = spawn(process.execPath, [join(ROOT, 'dist/control.mjs')], { stdio: ['pipe', 'ignore', 'pipe', 'pipe'], env: { ...process.env, [SUPERVISED_ENV]: '1' } });
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => { said += chunk.toString(); });
  child.stdin!.write(`${JSON.stringify(testConfig(databaseUrl, { port, publicUrl: `http://localhost:${port}`, previewDomain: `localhost:${port}`, ...config }))}\n`);
  const exited = once(child, 'close');
  const message = await new Promise<ChildMessage>((resolve, reject) => {
    createInterface({ input: child.stdio[3] as Readable }).on('line', (line) => {
      const heard = JSON.parse(line) as ChildMessage;
      if (heard.type === 'ready' || heard.type === 'refused') resolve(heard);
    });
    void exited.then(() => reject(new Error(said)));
  });
  const origin = `http://127.0.0.1:${port}`;
  return {
    child, port, origin, refusal: message.type === 'refused' ? message.reason : null,
    async pushAccess(key = ADMIN_KEY) {
      const reply = await fetch(`${origin}/api/object-storage/push-access`, { headers: { authorization: `Bearer ${key}` } });
      if (reply.status !== 200) throw new Error(await reply.text());
      return (await reply.json()) as StorageAccess;
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      await exited;
    },
  };
}

/** Another user's organization. @returns a key of it */
export async function otherOrganization(databaseUrl: string): Promise<string> {
  const key = `dtn_${'b2'.repeat(32)}`;
  const client = new pg.Client(databaseUrl);
  await client.connect();
  try {
    await client.query("INSERT INTO users (id, name, email) VALUES ('other', 'Other', 'other@test.invalid')");
    const { rows: [organization] } = await client.query(`INSERT INTO organizations (id, name, created_by, max_cpu_per_sandbox, max_memory_per_sandbox, max_disk_per_sandbox,
      snapshot_quota, volume_quota, secret_quota, max_secrets_per_sandbox, snapshot_deactivation_timeout_minutes)
      VALUES (gen_random_uuid(), 'Other', 'other', 1, 1, 1, 1, 1, 1, 1, 1) RETURNING id`);
    await client.query("INSERT INTO organization_users (organization_id, user_id, role) VALUES ($1, 'other', 'owner')", [organization.id]);
    await client.query(`INSERT INTO api_keys (organization_id, user_id, name, hash, prefix, suffix, permissions) VALUES ($1, 'other', 'key', $2, 'dtn', 'b2b', '{write:snapshots}')`, [organization.id, createHash('sha256').update(key).digest('hex')]);
    return key;
  } finally {
    await client.end();
  }
}

export function s3Client({ storageUrl, region, accessKey, secret, sessionToken }: StorageAccess, hostStyle = false): S3Client {
  // Names below localhost are loopback to browsers and systemd, not to every resolver.
  const httpAgent = new Agent({ lookup: (_host, options, found) => (options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4)) });
  return new S3Client({
    endpoint: storageUrl, region, forcePathStyle: !hostStyle, maxAttempts: 1, ...(hostStyle ? { requestHandler: { httpAgent } } : {}),
    credentials: { accessKeyId: accessKey, secretAccessKey: secret, sessionToken },
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
