import { afterAll, beforeAll, expect, test } from 'vitest';
import { publicKeyLine } from '@paddock/gateway';
import { startPlane, stopPlane, type TestPlane } from './sandbox-support.ts';
import { startTestDatabase, type TestDatabase } from './support.ts';

/** Tokens with which SSH enters a sandbox: made, checked, replaced, revoked. */
let database: TestDatabase;
let plane: TestPlane;
let id: string;
const revoked: unknown[] = [];

beforeAll(async () => {
  database = await startTestDatabase();
  plane = await startPlane(await database.create(), { config: { sshPort: 2222, publicUrl: 'https://paddock.example:8443' } });
  id = (await plane.create({ name: 'by-name' })).id;
  plane.plane.sshBackend.onRevoked((revocation) => revoked.push(revocation));
});
afterAll(async () => {
  await stopPlane(plane);
  await database.stop();
});

const create = (query = '', of = id) => plane.call('POST', `/api/sandbox/${of}/ssh-access${query}`);
const validate = (token: string) => plane.call('GET', `/api/sandbox/ssh-access/validate?token=${encodeURIComponent(token)}`);
const minutesOf = ({ createdAt, expiresAt }: { createdAt: string; expiresAt: string }) => (Date.parse(expiresAt) - Date.parse(createdAt)) / 60_000;

test('an access has every field, an hour of time and a command that can be run', async () => {
  const { status, body } = await create();
  expect(status).toBe(200);
  expect(body).toEqual({
    id: expect.stringMatching(/^[0-9a-f-]{36}$/), sandboxId: id, token: expect.stringMatching(/^[A-Za-z0-9]{32}$/), expiresAt: expect.stringMatching(/Z$/),
    createdAt: expect.stringMatching(/Z$/), updatedAt: expect.stringMatching(/Z$/), sshCommand: `ssh -p 2222 ${body.token}@paddock.example`,
  });
  expect(minutesOf(body)).toBeCloseTo(60, 3);
  expect((await validate(body.token)).body).toEqual({ valid: true, sandboxId: id });
  expect(await plane.plane.sshBackend.access(body.token)).toMatchObject({ id: body.id, sandboxId: id });
});

test('the time can be chosen within bounds', async () => {
  expect(minutesOf((await create('?expiresInMinutes=1440', 'by-name')).body)).toBeCloseTo(1_440, 3);
  for (const wrong of ['0', '-1', 'x', '525601', '1e99', 'NaN', 'Infinity']) expect((await create(`?expiresInMinutes=${wrong}`)).status, wrong).toBe(400);
});

test('an expired token is not valid', async () => {
  const { token } = (await create('?expiresInMinutes=0.0001')).body;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect((await validate(token)).body).toEqual({ valid: false });
  expect(await plane.plane.sshBackend.access(token)).toBeNull();
});

test('a new access replaces the earlier one', async () => {
  const [first, second] = [(await create()).body, (await create()).body];
  expect([(await validate(first.token)).body.valid, (await validate(second.token)).body.valid]).toEqual([false, true]);
});

test('validating says no without an error', async () => {
  for (const token of ['', 'x', 'é', 'x'.repeat(5_000)]) {
    const { status, body } = await validate(token);
    expect([status, body]).toEqual([200, { valid: false }]);
  }
  expect((await plane.call('GET', '/api/sandbox/ssh-access/validate')).body).toEqual({ valid: false });
});

test('revoking one and revoking all answer with the sandbox and tell the gateway', async () => {
  const { token } = (await create()).body;
  revoked.length = 0;
  expect((await plane.call('DELETE', `/api/sandbox/${id}/ssh-access?token=${'y'.repeat(32)}`)).status).toBe(200);
  expect([(await validate(token)).body.valid, revoked]).toEqual([true, []]);
  expect((await plane.call('DELETE', `/api/sandbox/by-name/ssh-access?token=${token}`)).body.id).toBe(id);
  expect([(await validate(token)).body.valid, revoked]).toEqual([false, [id]]);
  const again = (await create()).body;
  expect((await plane.call('DELETE', `/api/sandbox/${id}/ssh-access`)).body.id).toBe(id);
  expect([(await validate(again.token)).body.valid, revoked]).toEqual([false, [id, id]]);
});

test('a sandbox that is not there has none', async () => {
  for (const method of ['POST', 'DELETE']) expect((await plane.call(method, '/api/sandbox/nobody/ssh-access')).status).toBe(404);
});

test('the configuration names the command and the key that the gateway shows', async () => {
  const { sshGatewayCommand, sshGatewayPublicKey } = (await plane.call('GET', '/api/config')).body;
  expect(sshGatewayCommand).toBe('ssh -p 2222 {{TOKEN}}@paddock.example');
  const line = Buffer.from(sshGatewayPublicKey, 'base64').toString();
  expect(line).toBe(publicKeyLine(await plane.context.settings.secret('ssh-host-key')));
  expect(line).toMatch(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$/);
});
