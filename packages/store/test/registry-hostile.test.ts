import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RegistryCredential } from '@paddock/store';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { basic, imageManifest, INDEX, MANIFEST, sha256, startRegistry, type TestRegistry } from './registry-support.ts';

let server: TestRegistry;
let digest: string;
let upload: string;
beforeAll(async () => {
  server = await startRegistry();
  digest = await server.pushImage('org-a/fuzz', 'v1', ['layer']);
  upload = String((await server.call('POST', '/v2/org-a/fuzz/blobs/uploads/')).headers.location).split('/').at(-1)!;
});
afterAll(() => server?.close());

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', '.', '..', '../..', '%00', '%2e%2e%2f', '\0', '_catalog', 'blobs', 'uploads', 'manifests', 'tags', 'list', 'sha256:', 'v1', '-1', '1e9', '99999999999999999999', '*', 'a'.repeat(3000)));
const segment = fc.oneof(text.map((value) => encodeURIComponent(value.toWellFormed())), text.map((value) => encodeURI(value.toWellFormed()).replaceAll('%25', '%')), fc.constantFrom('%', '%zz', '%ff%fe'));
const path = () => fc.oneof(
  fc.array(segment, { maxLength: 6 }).map((parts) => `/v2/${parts.join('/')}`),
  fc.tuple(fc.constantFrom('org-a/fuzz', 'org-a', 'org-b/x', 'ORG'), fc.constantFrom('manifests', 'blobs', 'blobs/uploads', 'tags', 'referrers'), fc.oneof(segment, fc.constantFrom('v1', digest, sha256('layer'), sha256('{}'), upload, 'list', '')))
    .map(([name, kind, last]) => `/v2/${name}/${kind}/${last}`),
);
const query = fc.array(fc.tuple(fc.constantFrom('digest', 'mount', 'from', 'n', 'last', 'artifactType', 'scope', 'service'), fc.oneof(text, fc.constantFrom(sha256('layer'), 'org-a/fuzz', 'repository:org-a/fuzz:*'))), { maxLength: 3 })
  .map((pairs) => pairs.map(([key, value]) => `${key}=${encodeURIComponent(value.toWellFormed())}`).join('&'));
const headerText = text.map((value) => value.replace(/[^\x21-\x7e]/g, '').slice(0, 500));
const headers = fc.tuple(fc.boolean(), fc.dictionary(fc.constantFrom('range', 'content-range', 'content-type', 'accept', 'if-none-match', 'if-range', 'x-forwarded-host'), fc.oneof(headerText, fc.constantFrom('bytes=0-1', '0-4', '5-9', 'bytes 0-4/10', MANIFEST, INDEX, 'application/json', '*/*')), { maxKeys: 3 }))
  .map(([expects, given]): Record<string, string> => (expects ? { ...given, expect: '100-continue' } : given));
const descriptor = fc.record({ mediaType: fc.oneof(text, fc.constant('x')), digest: fc.oneof(text, fc.constantFrom(sha256('layer'), sha256('{}'), sha256('none'))), size: fc.oneof(fc.integer(), fc.double(), text) }, { requiredKeys: [] });
const manifest = fc.record({
  schemaVersion: fc.oneof(fc.constant(2), fc.jsonValue()), mediaType: fc.oneof(fc.constantFrom(MANIFEST, INDEX), fc.jsonValue()), config: fc.oneof(descriptor, fc.jsonValue()),
  layers: fc.oneof(fc.array(descriptor), fc.jsonValue()), manifests: fc.oneof(fc.array(descriptor), fc.jsonValue()), subject: fc.oneof(descriptor, fc.jsonValue()), annotations: fc.jsonValue(), artifactType: fc.jsonValue(),
}, { requiredKeys: [] }).map((value) => JSON.stringify(value));
const body = fc.option(fc.oneof(text.map((value) => value.toWellFormed()), manifest, fc.constantFrom('layer', '{}', '[[[[', `${'['.repeat(100_000)}`, '{"schemaVersion":2,"__proto__":{"a":1}}')), { nil: undefined });

test('whatever comes, the answer is no 5xx, and errors have the shape of the specification', async () => {
  await fc.assert(fc.asyncProperty(fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'), path(), query, headers, body, async (method, url, search, given, payload) => {
    const reply = await server.call(method, `${url}${search === '' ? '' : `?${search}`}`, { headers: given, ...(payload === undefined ? {} : { body: payload }) });
    expect(reply.status, `${method} ${url}?${search} ${JSON.stringify(given)} ${payload?.slice(0, 500)} → ${reply.body.toString().slice(0, 500)}`).toBeLessThan(500);
    expect(reply.headers['docker-distribution-api-version']).toBe('registry/2.0');
    if (reply.status >= 400 && method !== 'HEAD') expect(reply.json).toMatchObject({ errors: [{ code: expect.stringMatching(/^[A-Z_]+$/), message: expect.any(String) }] });
  }), { numRuns: Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 1500) });
  // What was there is there.
  expect(server.events.filter((event) => event.type === 'request' && event.error !== undefined)).toEqual([]);
}, 600_000);

test('manifests of every shape are taken or refused, and what was taken comes back as it was', async () => {
  await fc.assert(fc.asyncProperty(manifest, fc.constantFrom(MANIFEST, INDEX, 'application/json'), async (document, type) => {
    const reply = await server.call('PUT', '/v2/org-a/fuzz/manifests/shape', { body: document, headers: { 'content-type': type } });
    expect([201, 400], reply.body.toString()).toContain(reply.status);
    if (reply.status === 201) expect((await server.call('GET', `/v2/org-a/fuzz/manifests/${String(reply.headers['docker-content-digest'])}`)).body.toString()).toBe(document);
  }), { numRuns: Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 500) });
  await server.registry.collect();
}, 600_000);

describe('connections', () => {
  /** @param until ends the connection; null: after a moment, whatever came */
  const raw = (text: string, until: RegExp | null = null): Promise<string> => new Promise((resolve) => {
    const socket = createConnection(server.port, '127.0.0.1');
    let seen = '';
    socket.on('data', (chunk) => {
      seen += chunk.toString();
      if (until?.test(seen)) socket.end();
    });
    socket.on('error', () => resolve(seen));
    socket.on('close', () => resolve(seen));
    socket.write(text);
    if (until === null) setTimeout(() => socket.end(), 200);
  });
  const auth = () => `Host: x\r\nAuthorization: ${basic(server.own)}\r\n`;

  test('that end within a body leave nothing behind', async () => {
    const upload = String((await server.call('POST', '/v2/org-a/fuzz/blobs/uploads/')).headers.location).split('/').at(-1)!;
    const before = (await server.blobs.list('', { limit: 1000 })).blobs.length;
    for (const path of [`/v2/org-a/cut/blobs/uploads/?digest=${sha256('whole')}`, '/v2/org-a/cut/manifests/v1', `/v2/org-a/fuzz/blobs/uploads/${upload}`]) {
      const method = path.includes('manifests') ? 'PUT' : path.includes('digest') ? 'POST' : 'PATCH';
      await raw(`${method} ${path} HTTP/1.1\r\n${auth()}Content-Type: ${MANIFEST}\r\nContent-Length: 100\r\n\r\nwho`);
      await raw(`${method} ${path} HTTP/1.1\r\n${auth()}Content-Type: ${MANIFEST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\nff\r\nx`);
      await raw(`${method} ${path} HTTP/1.1\r\n${auth()}Content-Type: ${MANIFEST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwholeNONSENSE\r\n`);
    }
    await sleep(100);
    expect((await server.blobs.list('', { limit: 1000 })).blobs.length).toBe(before);
    expect((await server.call('GET', `/v2/org-a/fuzz/blobs/uploads/${upload}`)).headers.range).toBe('0-0');
  });

  test('that wait for 100 Continue get it once they are let in, and the body is taken', async () => {
    const reply = await raw(`POST /v2/org-a/fuzz/blobs/uploads/?digest=${sha256('continued')} HTTP/1.1\r\n${auth()}Content-Length: 9\r\nExpect: 100-continue\r\n\r\ncontinued`, / 201 /);
    expect(reply).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201/);
  });

  test('are used again after an answer that came before the body', async () => {
    const reply = await raw(`PUT /v2/org-b/x/manifests/v1 HTTP/1.1\r\n${auth()}Content-Length: 5\r\n\r\nhello` + `GET /v2/ HTTP/1.1\r\n${auth()}\r\n`, / 200 /);
    expect(reply.match(/HTTP\/1\.1 (\d+)/g)).toEqual(['HTTP/1.1 403', 'HTTP/1.1 200']);
  });
});

describe('memory', () => {
  let child: ChildProcess;
  let directory: string;
  let port: number;
  let own: RegistryCredential;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'paddock-memory-'));
    child = spawn(process.execPath, [join(import.meta.dirname, 'registry-process.ts'), directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    ({ port, own } = JSON.parse(await new Promise<string>((resolve) => child.stdout!.once('data', (chunk: Buffer) => resolve(chunk.toString())))) as { port: number; own: RegistryCredential });
  });
  afterAll(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
  const peakMiB = () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024;

  /** Four at once of 96 MiB, each read back slowly by half and then dropped: all of it in memory would be 384 MiB. */
  test('does not grow with what is pushed and pulled', async () => {
    const before = peakMiB();
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    const push = async (salt: string) => {
      const hash = createHash('sha256');
      async function* content() {
        yield Buffer.from(salt);
        for (let i = 0; i < 96; i++) yield chunk;
      }
      for await (const part of content()) hash.update(part);
      const target = `/v2/org-a/big/blobs/uploads/?digest=sha256:${hash.copy().digest('hex')}`;
      const status = await new Promise<number>((resolve, reject) => {
        const req = request({ host: '127.0.0.1', port, method: 'POST', path: target, headers: { authorization: basic(own) } }, (res) => { res.resume(); resolve(res.statusCode ?? 0); });
        req.on('error', reject);
        void pipeline(Readable.from(content()), req).catch(reject);
      });
      expect(status).toBe(201);
      await new Promise<void>((resolve, reject) => {
        const req = request({ host: '127.0.0.1', port, path: `/v2/org-a/big/blobs/sha256:${hash.digest('hex')}`, headers: { authorization: basic(own) } }, (res) => {
          let size = 0;
          res.on('data', (part: Buffer) => {
            size += part.length;
            if (size > 64 * 1024 * 1024) { res.destroy(); resolve(); }
          });
          res.pause();
          setTimeout(() => res.resume(), 300);
        });
        req.on('error', reject);
        req.end();
      });
    };
    await Promise.all(['a', 'b', 'c', 'd'].map(push));
    expect(peakMiB() - before).toBeLessThan(200);
  }, 120_000);

  test('does not grow with manifests of the largest size, announced and not', async () => {
    const config = sha256('{}');
    const padding = imageManifest(config, [], { annotations: { x: 'y'.repeat(4 * 1024 * 1024 - 400) } });
    for (let i = 0; i < 20; i++) {
      const { status } = await new Promise<{ status: number }>((resolve, reject) => {
        const req = request({ host: '127.0.0.1', port, method: 'PUT', path: '/v2/org-a/big/manifests/v1', headers: { authorization: basic(own), 'content-type': MANIFEST } }, (res) => { res.resume(); resolve({ status: res.statusCode ?? 0 }); });
        req.on('error', reject);
        req.end(padding);
      });
      expect(status).toBe(400); // its config was never pushed
    }
    expect(peakMiB()).toBeLessThan(700);
  });
});
