import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { resolveConfig, SETTINGS, type Sources } from '../src/config/index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'paddock-config-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function toml(text: string): string {
  const path = join(scratch, `${Math.random()}.toml`);
  writeFileSync(path, text);
  return path;
}

const empty = toml('');
function resolve(sources: Partial<Sources>) {
  return resolveConfig({ flags: {}, env: {}, configFile: empty, ...sources });
}
function config(sources: Partial<Sources>) {
  const resolved = resolve(sources);
  if (!resolved.ok) throw new Error(resolved.problems.join('\n'));
  return resolved.config;
}
function problems(sources: Partial<Sources>): string {
  const resolved = resolve(sources);
  return resolved.ok ? '' : resolved.problems.join('\n');
}

describe('where a setting comes from', () => {
  test('defaults make a complete configuration', () => {
    expect(config({})).toMatchObject({
      dataDir: '/var/lib/paddock', host: '127.0.0.1', port: 3000, sshPort: 2222, publicUrl: 'http://localhost:3000', previewDomain: 'localhost:3000',
      previewProtocol: 'http', trustedProxies: [], databaseUrl: null, adminApiKey: null, serviceUser: 'paddock', region: 'us',
      warmPool: { 'daytona-small': 3, 'daytona-medium': 1, 'daytona-large': 1 }, pool: { device: null }, network: { denied: ['169.254.0.0/16', '224.0.0.0/4'] },
    });
  });

  test('flags win over environment, environment over the file', () => {
    const configFile = toml('port = 1111\nregion = "file"\nhost = "0.0.0.0"');
    const result = config({ configFile, env: { PADDOCK_PORT: '2222', PADDOCK_REGION: 'env' }, flags: { '--port': '3333' } });
    expect(result).toMatchObject({ port: 3333, region: 'env', host: '0.0.0.0' });
  });

  test('URLs follow the port unless set', () => {
    expect(config({ env: { PADDOCK_PORT: '4000' } })).toMatchObject({ publicUrl: 'http://localhost:4000', previewDomain: 'localhost:4000' });
    expect(config({ env: { PADDOCK_PUBLIC_URL: 'https://paddock.example/' } })).toMatchObject({ publicUrl: 'https://paddock.example', previewProtocol: 'https' });
  });

  test('the file is found through PADDOCK_CONFIG', () => {
    expect(config({ configFile: null, env: { PADDOCK_CONFIG: toml('port = 1234') } }).port).toBe(1234);
  });

  test('an environment variable set to nothing is not set', () => {
    expect(config({ env: { DATABASE_URL: '', PADDOCK_ADMIN_API_KEY: '' } })).toMatchObject({ databaseUrl: null, adminApiKey: null });
  });

  test('TOML lists and tables', () => {
    const configFile = toml('trusted_proxies = ["10.0.0.0/8", "::1/128"]\n[warm_pool]\ndaytona-small = 7\n[pool]\nsize_gib = 50\n[network]\ndns = ["9.9.9.9"]');
    expect(config({ configFile })).toMatchObject({
      trustedProxies: ['10.0.0.0/8', '::1/128'], warmPool: { 'daytona-small': 7 }, pool: { sizeGiB: 50 }, network: { dns: ['9.9.9.9'] },
    });
  });

  test('the warm pool can be turned off', () => {
    expect(config({ env: { PADDOCK_WARM_POOL: '0' } }).warmPool).toEqual({});
    expect(config({ configFile: toml('warm_pool = 0') }).warmPool).toEqual({});
  });
});

describe('bad values are refused in words', () => {
  const bad: Array<[env: string, value: string]> = [
    ['PADDOCK_PORT', '0'], ['PADDOCK_PORT', '70000'], ['PADDOCK_PORT', '3e3'], ['PADDOCK_HOST', 'nowhere'], ['PADDOCK_DATA_DIR', 'relative/dir'],
    ['PADDOCK_DATA_DIR', '/with:colon'], ['PADDOCK_RUN_DIR', `/run/${'x'.repeat(60)}`], ['PADDOCK_PUBLIC_URL', 'ftp://x'], ['PADDOCK_PUBLIC_URL', 'http://x/path'],
    ['PADDOCK_PREVIEW_DOMAIN', '.x'], ['PADDOCK_TRUSTED_PROXIES', '10.0.0.0/99'], ['DATABASE_URL', 'mysql://x'], ['PADDOCK_ADMIN_API_KEY', 'short'],
    ['PADDOCK_ADMIN_API_KEY', 'with a blank in it, long'], ['PADDOCK_WARM_POOL', 'daytona-small'], ['PADDOCK_WARM_POOL', 'a=-1'], ['PADDOCK_POOL_SIZE_GIB', '1'],
    ['PADDOCK_NETWORK_SUBNET', '10.0.0.0/8'], ['PADDOCK_NETWORK_DENIED', 'x'], ['PADDOCK_NETWORK_DNS', 'one.one'], ['PADDOCK_LOG_LEVEL', 'loud'],
    ['PADDOCK_SERVICE_USER', 'a b'],
  ];
  test.each(bad)('%s=%s', (env, value) => {
    expect(problems({ env: { [env]: value } })).toMatch(new RegExp(`^${env}: expected `));
  });

  test('all of them are reported at once, and where they stand', () => {
    const text = problems({ configFile: toml('port = "x"'), env: { PADDOCK_HOST: 'y' }, flags: { '--log-level': 'z' } });
    expect(text).toMatch(/port in .*toml: expected/);
    expect(text).toMatch(/PADDOCK_HOST: expected/);
    expect(text).toMatch(/--log-level: expected/);
  });

  test('a secret is never repeated', () => {
    expect(problems({ env: { PADDOCK_ADMIN_API_KEY: 'hunter 2' } })).not.toContain('hunter');
  });

  test('an unknown key, a broken file and a missing file', () => {
    expect(problems({ configFile: toml('prot = 1') })).toMatch('there is no setting prot');
    expect(problems({ configFile: toml('port = = 1') })).toMatch(/toml: /);
    expect(problems({ configFile: join(scratch, 'missing.toml') })).toMatch('cannot be read (ENOENT)');
  });
});

describe('the table', () => {
  test('names are unique and secrets have no flag', () => {
    const rows = Object.values(SETTINGS);
    for (const key of ['env', 'toml'] as const) expect(new Set(rows.map((row) => row[key])).size).toBe(rows.length);
    for (const row of [SETTINGS.adminApiKey, SETTINGS.databaseUrl, SETTINGS.healthApiKey]) expect(row.flag).toBeNull();
  });

  test('every default is a value that its own reader takes', () => {
    for (const row of Object.values(SETTINGS)) {
      if (row.fallback !== null) expect(row.read(row.fallback.replace('{port}', '3000')).ok, row.env).toBe(true);
    }
  });
});
