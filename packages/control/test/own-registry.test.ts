import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownAddress, type RegistryAuth } from '@paddock/contract';
import type { Registry } from '@paddock/store';
import { RegistryShelf } from '../src/docker-registry/index.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { secondOrganization, type SecondOrganization } from './second-organization.ts';
import { ADMIN_KEY, startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

/** The registry as the control plane opens it: secrets and locks in PostgreSQL, blobs on disk, two organizations. */
let database: TestDatabase;
let control: TestControl;
let other: SecondOrganization;
let organizationId: string;
let registry: Registry;
let server: Server;
let base: string;
const dataDir = mkdtempSync(join(tmpdir(), 'paddock-own-registry-'));
beforeAll(async () => {
  database = await startTestDatabase();
  const url = await database.create();
  control = await startTestControl(url, { config: { dataDir } });
  other = await secondOrganization(url);
  organizationId = (await control.call('GET', '/api/organizations')).body[0].id;
  registry = await control.context.registry.open();
  server = createServer((req, res) => registry.handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await registry?.stop();
  await control?.close();
  await database?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

type Login = { readonly username: string; readonly password: string };
const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const call = (login: Login, method: string, path: string, body?: string, type = 'application/octet-stream') => fetch(base + path, {
  method, ...(body === undefined ? {} : { body }), headers: { authorization: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`, 'content-type': type },
});

async function loginOf(key: string): Promise<Login & { project: string }> {
  const { username, secret, project } = (await control.call('GET', '/api/docker-registry/registry-push-access', { key })).body;
  return { username, password: secret, project };
}

async function push(login: Login, repository: string, tag: string): Promise<string> {
  for (const content of ['{}', 'layer']) expect((await call(login, 'POST', `/v2/${repository}/blobs/uploads/?digest=${sha256(content)}`, content)).status).toBe(201);
  const manifest = JSON.stringify({
    schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256('{}'), size: 2 },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: sha256('layer'), size: 5 }],
  });
  expect((await call(login, 'PUT', `/v2/${repository}/manifests/${tag}`, manifest, 'application/vnd.oci.image.manifest.v1+json')).status).toBe(201);
  return sha256(manifest);
}

test('push access opens the own organization\'s repositories and no others', async () => {
  const ours = await loginOf(ADMIN_KEY);
  const theirs = await loginOf(other.key);
  expect([ours.project, theirs.project]).toEqual([organizationId, other.id]);
  await push(ours, `${organizationId}/app`, 'v1');
  await push(theirs, `${other.id}/app`, 'v1');
  for (const [login, owner] of [[ours, other.id], [theirs, organizationId]] as const) {
    expect((await call(login, 'GET', `/v2/${owner}/app/manifests/v1`)).status).toBe(403);
    expect((await call(login, 'POST', `/v2/${owner}/app/blobs/uploads/`)).status).toBe(403);
    expect((await call(login, 'GET', '/v2/library/app/tags/list')).status).toBe(403);
  }
});

test('deleting wants a key that may delete snapshots', async () => {
  const pusher = await loginOf(await control.keyWith('write:snapshots'));
  await push(pusher, `${organizationId}/deletable`, 'v1');
  expect((await call(pusher, 'DELETE', `/v2/${organizationId}/deletable/manifests/v1`)).status).toBe(403);
  const deleter = await loginOf(await control.keyWith('write:snapshots', 'delete:snapshots'));
  expect((await call(deleter, 'DELETE', `/v2/${organizationId}/deletable/manifests/v1`)).status).toBe(202);
});

test('what the runner is given pulls that one repository and can do nothing else', async () => {
  const digest = await push(await loginOf(ADMIN_KEY), `${organizationId}/pulled`, 'v1');
  const access = await control.context.registry.pullAccess(organizationId, `box.lan:3000/${organizationId}/pulled:v1`);
  const login: RegistryAuth = access!.auth;
  expect((await call(login, 'GET', `/v2/${organizationId}/pulled/manifests/${digest}`)).status).toBe(200);
  expect((await call(login, 'GET', `/v2/${organizationId}/pulled/blobs/${sha256('layer')}`)).status).toBe(200);
  for (const [method, path] of [['GET', `${organizationId}/app/manifests/v1`], ['GET', `${organizationId}/pulled/more/tags/list`], ['POST', `${organizationId}/pulled/blobs/uploads/`], ['DELETE', `${organizationId}/pulled/manifests/v1`]] as const) {
    expect((await call(login, method, `/v2/${path}`)).status, path).toBe(403);
  }
});

test('an image is removed by the reference it was pushed under; others, and those of others, are left alone', async () => {
  const ours = await loginOf(ADMIN_KEY);
  const digest = await push(ours, `${organizationId}/removed`, 'v1');
  await push(ours, `${organizationId}/removed`, 'v2');
  const status = async (reference: string) => (await call(ours, 'GET', `/v2/${organizationId}/removed/manifests/${reference}`)).status;
  for (const reference of [`localhost:3000/${organizationId}/removed:none`, 'docker.io/library/removed:v1', `ghcr.io/x/removed:v1`, `localhost:3000/${organizationId}/removed`, 'removed:v1', '']) {
    await control.context.registry.remove(organizationId, reference);
  }
  await control.context.registry.remove(other.id, `localhost:3000/${organizationId}/removed:v1`);
  expect([await status('v1'), await status('v2')]).toEqual([200, 200]);
  await control.context.registry.remove(organizationId, `box.lan:9000/${organizationId}/removed:v1`);
  expect([await status('v1'), await status('v2'), await status(digest)]).toEqual([404, 200, 200]);
  await control.context.registry.remove(organizationId, `localhost:3000/${organizationId}/removed@${digest}`);
  expect([await status('v2'), await status(digest)]).toEqual([200, 200]);
  await control.context.registry.remove(organizationId, `localhost:3000/${organizationId}/removed:v2`);
  expect(await status(digest)).toBe(404);
});

test('the place of images is opened by no credential that a client can have, whatever it asks for', async () => {
  const shelf = new RegistryShelf(control.context.registry);
  const { repository, auth } = await shelf.placeOf('sandbox-secret');
  const name = repository.slice(repository.indexOf('/') + 1);
  const digest = await push(auth, name, 'v1');
  const published = `${name}@${digest}`;
  for (const client of [await loginOf(ADMIN_KEY), await loginOf(other.key)]) {
    const denied = async (method: string, path: string, body?: string) => expect((await call(client, method, path, body)).status, `${method} ${path}`).toBe(403);
    await denied('GET', `/v2/${name}/manifests/${digest}`);
    await denied('GET', `/v2/${name}/blobs/${sha256('layer')}`);
    await denied('GET', `/v2/${name}/tags/list`);
    await denied('POST', `/v2/${name}/blobs/uploads/`);
    await denied('PUT', `/v2/${name}/manifests/v1`, '{}');
    await denied('DELETE', `/v2/${name}/manifests/${digest}`);
    await denied('DELETE', `/v2/${name}/blobs/${sha256('layer')}`);
    // A mount of what the client may not read begins an upload in its place.
    expect((await call(client, 'POST', `/v2/${client.project}/thief/blobs/uploads/?mount=${sha256('layer')}&from=${name}`)).status).toBe(202);
    expect((await call(client, 'GET', `/v2/${client.project}/thief/blobs/${sha256('layer')}`)).status).toBe(404);
    expect(await (await call(client, 'GET', '/v2/_catalog')).text()).not.toContain('paddock/');
    const { token } = await (await call(client, 'GET', `/v2/token?service=paddock&scope=repository:${name}:pull,push,delete`)).json() as { token: string };
    expect((await fetch(`${base}/v2/${name}/manifests/${digest}`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(401);
  }
  for (const host of [control.context.registry.address, 'localhost:3000', 'box.lan:3000']) {
    const access = control.context.registry.pullAccess(organizationId, `${host}/${published}`);
    if (host === control.context.registry.address) await expect(access).rejects.toMatchObject({ statusCode: 400 });
    else expect(await access.catch(() => null), host).toBeNull();
    await control.context.registry.remove(organizationId, `${host}/${published}`);
  }
  // The runner's own credentials: to write one image and read the others, or to read one.
  const reader = (await shelf.access(published)).auth;
  expect((await call(reader, 'GET', `/v2/${name}/manifests/${digest}`)).status).toBe(200);
  expect((await call(reader, 'POST', `/v2/${name}/blobs/uploads/`)).status).toBe(403);
  const { auth: neighbour } = await shelf.placeOf('sandbox-neighbour');
  expect((await call(neighbour, 'GET', `/v2/${name}/manifests/${digest}`)).status).toBe(200);
  for (const [method, path] of [['POST', `${name}/blobs/uploads/`], ['DELETE', `${name}/manifests/${digest}`], ['GET', `${organizationId}/app/manifests/v1`]] as const) expect((await call(neighbour, method, `/v2/${path}`)).status, path).toBe(403);
  const names: string[] = [];
  for await (const found of shelf.names()) names.push(found);
  expect(names).toEqual(['sandbox-secret']);
  await shelf.drop('sandbox-secret');
  await shelf.drop('sandbox-secret');
  expect((await call(reader, 'GET', `/v2/${name}/manifests/${digest}`)).status).toBe(404);
  for await (const found of shelf.names()) expect.unreachable(found);
});

test('the runner reaches it at the address that the server listens at', () => {
  expect(['127.0.0.1', '0.0.0.0', 'localhost', '::', '::1', '10.1.2.3', 'fd00::1'].map((host) => ownAddress({ host, port: 3000 })))
    .toEqual(['127.0.0.1:3000', '127.0.0.1:3000', '127.0.0.1:3000', '[::1]:3000', '[::1]:3000', '10.1.2.3:3000', '[fd00::1]:3000']);
});

test('another control plane on the same database takes the same credentials', async () => {
  const login = await loginOf(ADMIN_KEY);
  const second = await startTestControl(control.context.config.databaseUrl!, { config: { dataDir } });
  try {
    const handler = await second.context.registry.open();
    const twin = createServer((req, res) => handler.handle(req, res));
    await new Promise<void>((resolve) => twin.listen(0, '127.0.0.1', resolve));
    const reply = await fetch(`http://127.0.0.1:${(twin.address() as AddressInfo).port}/v2/`, { headers: { authorization: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}` } });
    expect(reply.status).toBe(200);
    twin.closeAllConnections();
    twin.close();
  } finally {
    await second.close();
  }
});
