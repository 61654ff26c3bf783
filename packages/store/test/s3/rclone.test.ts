import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ObjectAccess } from '@paddock/contract';
import { expect, test } from 'vitest';
import { listAll } from '../blobs/support.ts';
import { BUCKET, startS3 } from './support.ts';
import { run } from './tools.ts';

const environment = ({ endpoint, accessKey, secretKey, sessionToken }: ObjectAccess) => ({
  RCLONE_CONFIG: '/dev/null', RCLONE_CONFIG_STORE_TYPE: 's3', RCLONE_CONFIG_STORE_PROVIDER: 'Other', RCLONE_CONFIG_STORE_ENDPOINT: endpoint, RCLONE_CONFIG_STORE_REGION: 'us-east-1',
  RCLONE_CONFIG_STORE_ACCESS_KEY_ID: accessKey, RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY: secretKey, ...(sessionToken === null ? {} : { RCLONE_CONFIG_STORE_SESSION_TOKEN: sessionToken }),
});

/** Debian's rclone, the tool of the docs' Mount External Storage. */
test.for(['keys', 'session'] as const)('rclone copies, checks, lists, moves and deletes (%s)', { timeout: 120_000 }, async (form) => {
  await using s3 = await startS3();
  const directory = mkdtempSync(join(tmpdir(), 'paddock-rclone-'));
  try {
    const env = environment(s3.access({ prefix: 'volumes/v1/' }, form));
    const rclone = (...args: string[]) => run('rclone', ['--retries', '1', '--low-level-retries', '1', ...args], env);
    mkdirSync(join(directory, 'in/sub dir'), { recursive: true });
    writeFileSync(join(directory, 'in/big'), randomBytes(11 * 1024 ** 2));
    writeFileSync(join(directory, 'in/sub dir/ä+&.txt'), 'text');
    writeFileSync(join(directory, 'in/empty'), '');
    const remote = `store:${BUCKET}/volumes/v1`;
    await rclone('copy', '--s3-upload-cutoff', '5M', '--s3-chunk-size', '5M', join(directory, 'in'), remote);
    await rclone('check', '--download', join(directory, 'in'), remote);
    expect((await rclone('lsf', '-R', remote)).trim().split('\n').sort()).toEqual(['big', 'empty', 'sub dir/', 'sub dir/ä+&.txt']);
    await rclone('moveto', `${remote}/big`, `${remote}/other/big`);
    await rclone('sync', remote, join(directory, 'out'));
    expect(readFileSync(join(directory, 'out/other/big')).equals(readFileSync(join(directory, 'in/big')))).toBe(true);
    expect(readFileSync(join(directory, 'out/sub dir/ä+&.txt'), 'utf8')).toBe('text');
    await rclone('delete', `${remote}/sub dir`);
    expect((await listAll(s3.blobs, '')).keys).toEqual(['volumes/v1/empty', 'volumes/v1/other/big']);
    await expect(rclone('lsf', `store:${BUCKET}/volumes/v2`)).rejects.toThrow(/AccessDenied|403/);
    await expect(rclone('copyto', join(directory, 'in/empty'), `store:${BUCKET}/volumes/v2/x`)).rejects.toThrow(/AccessDenied|403|Forbidden/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
