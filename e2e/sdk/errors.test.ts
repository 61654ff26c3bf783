import { describe, expect, test } from 'vitest';
import { api, client, SDKS, unique, withSandbox } from './support.ts';

describe.each(SDKS)('errors as the typed classes of %s', (_name, sdk) => {
  test('a wrong key is an authentication error', async () => {
    const stranger = client(sdk, `dtn_${'0'.repeat(64)}`);
    await expect(stranger.create()).rejects.toBeInstanceOf(sdk.DaytonaAuthenticationError);
    await expect(stranger.get('anything')).rejects.toBeInstanceOf(sdk.DaytonaAuthenticationError);
  });

  test('a key without the permission is a forbidden error', async () => {
    const name = unique('reader');
    const made = await api('/api-keys', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name, permissions: ['read:volumes'] }),
    });
    expect(made.status).toBe(201);
    const { value } = (await made.json()) as { value: string };
    expect(value).toMatch(/^dtn_[0-9a-f]{64}$/);
    await expect(client(sdk, value).create()).rejects.toBeInstanceOf(sdk.DaytonaForbiddenError);
    expect((await api(`/api-keys/${name}`, { method: 'DELETE' })).status).toBe(204);
    await expect(client(sdk, value).get('x')).rejects.toBeInstanceOf(sdk.DaytonaAuthenticationError);
  });

  test('unknown sandboxes and snapshots are not found', async () => {
    const daytona = client(sdk);
    await expect(daytona.get('6f0f0f0f-1111-4222-8333-444444444444')).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
    await expect(daytona.get('no such name')).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
    await expect(daytona.snapshot.get('no/such:snapshot')).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
  });

  test.each([
    ['an unknown snapshot', { snapshot: 'no-such-snapshot' }, /Snapshot no-such-snapshot not found/],
    ['a name with markup', { name: '<b>x</b>' }, /name/],
    ['a CIDR without prefix', { networkAllowList: '10.0.0.1' }, /networkAllowList|CIDR/i],
    ['an IPv6 CIDR', { networkAllowList: 'fd00::/8' }, /networkAllowList|CIDR|IPv4/i],
    ['eleven CIDRs', { networkAllowList: Array.from({ length: 11 }, (_, i) => `10.0.${i}.0/24`).join(',') }, /10/],
    ['a user the image does not have', { user: 'nobody-like-this' }, /user/],
    ['a bad env name', { envVars: { 'A=B': 'x' } }, /env/i],
  ])('%s is a bad request with a sentence', async (_what, params, message) => {
    const daytona = client(sdk);
    const attempt = daytona.create(params as never);
    await expect(attempt).rejects.toBeInstanceOf(sdk.DaytonaBadRequestError);
    await expect(attempt).rejects.toThrow(message);
  });

  test('a taken name is a conflict', async () => {
    const name = unique('taken');
    await withSandbox(sdk, { name }, async (_sandbox, daytona) => {
      await expect(daytona.create({ name })).rejects.toBeInstanceOf(sdk.DaytonaConflictError);
    });
  });

  test('stopping a stopped sandbox is a bad request', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.stop();
      await expect(sandbox.stop()).rejects.toBeInstanceOf(sdk.DaytonaBadRequestError);
    });
  });

  test('a command that never ends is a timeout error whose text says so', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const attempt = sandbox.process.executeCommand('sleep 100', undefined, undefined, 1);
      await expect(attempt).rejects.toBeInstanceOf(sdk.DaytonaTimeoutError);
      await expect(attempt).rejects.toThrow(/timeout/i);
      expect((await sandbox.process.executeCommand('pgrep -c sleep')).result).toBe('0\n');
    });
  });

  test('missing files, directories and rights are their own errors', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await expect(sandbox.fs.getFileDetails('nowhere.txt')).rejects.toBeInstanceOf(sdk.DaytonaFileNotFoundError);
      await expect(sandbox.fs.downloadFile('nowhere.txt')).rejects.toBeInstanceOf(sdk.DaytonaFileNotFoundError);
      await expect(sandbox.fs.deleteFile('/root/x')).rejects.toBeInstanceOf(sdk.DaytonaFileAccessDeniedError);
      await sandbox.fs.createFolder('full/sub', '755');
      await expect(sandbox.fs.deleteFile('full')).rejects.toBeInstanceOf(sdk.DaytonaBadRequestError);
    });
  });

  test('what is not there yet says so instead of pretending', async () => {
    const daytona = client(sdk);
    await expect(daytona.create({ domainAllowList: 'example.com' })).rejects.toMatchObject({ statusCode: 501 });
    expect((await api('/secret')).status).toBe(501);
  });
});
