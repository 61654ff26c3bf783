import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { resolveConfig } from '../src/config/index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'paddock-config-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function resolve(env: Record<string, string>, toml = '') {
  const configFile = join(scratch, 'paddock.toml');
  writeFileSync(configFile, toml);
  return resolveConfig({ flags: {}, env, configFile });
}

test('without S3_* blobs are kept here, in the bucket clients expect', () => {
  expect(resolve({})).toMatchObject({ ok: true, config: { objectStore: { endpoint: null, stsEndpoint: null, region: 'us-east-1', accessKey: null, secretKey: null, bucket: 'daytona-volume-builds', accountId: null, roleName: null } } });
});

test('S3_* of the environment and [s3] of the file name an external store', () => {
  const env = { S3_ENDPOINT: 'https://s3.example', S3_STS_ENDPOINT: 'https://sts.example', S3_REGION: 'eu-1', S3_ACCESS_KEY: 'key', S3_SECRET_KEY: 'secret', S3_DEFAULT_BUCKET: 'my-bucket', S3_ACCOUNT_ID: '123', S3_ROLE_NAME: 'role' };
  const wanted = { endpoint: 'https://s3.example', stsEndpoint: 'https://sts.example', region: 'eu-1', accessKey: 'key', secretKey: 'secret', bucket: 'my-bucket', accountId: '123', roleName: 'role' };
  expect(resolve(env)).toMatchObject({ ok: true, config: { objectStore: wanted } });
  const toml = '[s3]\nendpoint = "https://s3.example"\nsts_endpoint = "https://sts.example"\nregion = "eu-1"\naccess_key = "key"\nsecret_key = "secret"\ndefault_bucket = "my-bucket"\naccount_id = "123"\nrole_name = "role"';
  expect(resolve({}, toml)).toMatchObject({ ok: true, config: { objectStore: wanted } });
});

test('bad values are named, keys are not repeated', () => {
  const bad = resolve({ S3_ENDPOINT: 's3.example', S3_DEFAULT_BUCKET: 'Not A Bucket', S3_SECRET_KEY: 'two words' });
  const problems = bad.ok ? '' : bad.problems.join('\n');
  expect(problems).toMatch(/S3_ENDPOINT: expected an origin/);
  expect(problems).toMatch(/S3_DEFAULT_BUCKET: expected a bucket name/);
  expect(problems).toMatch(/S3_SECRET_KEY/);
  expect(problems).not.toContain('two words');
});
