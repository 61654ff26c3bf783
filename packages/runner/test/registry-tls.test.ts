import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryRegistry, imageOf, tarOf } from './image-bed.ts';

const CLIENT = join(import.meta.dirname, 'registry-tls-client.ts');

/**
 * A registry that is spoken to over TLS: a name that is not of this machine, reached by way of a mirror's origin, which may be https
 * on the loopback interface.
 */
describe('a registry over TLS', () => {
  const image = imageOf([tarOf([{ name: 'file' }])]);
  let dir: string;
  let server: Server;
  let plain: MemoryRegistry;
  let redirect: string | null = null;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'paddock-tls-'));
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem'), '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'ignore' });
    plain = await MemoryRegistry.start();
    plain.add('tool', image);
    server = createServer({ key: readFileSync(join(dir, 'key.pem')), cert: readFileSync(join(dir, 'cert.pem')) }, (_, reply) => {
      if (redirect !== null) return void reply.writeHead(302, { location: redirect }).end();
      reply.writeHead(200, { 'content-type': image.mediaType }).end(image.manifest);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(async () => {
    server?.close();
    await plain?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const ask = async (env: NodeJS.ProcessEnv): Promise<string> => {
    const mirrors = JSON.stringify({ 'registry.invalid': [`https://localhost:${(server.address() as AddressInfo).port}`] });
    // The registry itself does not exist: what the mirror says is seen by whether there is an answer, and by its failure in the log of TLS.
    return (await promisify(execFile)(process.execPath, [CLIENT, 'registry.invalid/tool', mirrors], { env: { ...process.env, ...env } })).stdout.trim();
  };

  it('is trusted when its authority is made known, and not otherwise', async () => {
    expect(await ask({ NODE_EXTRA_CA_CERTS: join(dir, 'cert.pem') })).toBe(image.digest);
    expect(await ask({})).toMatch(/^unavailable: registry\.invalid/);
  });

  it('does not lead to plain http', async () => {
    redirect = `http://${plain.host}/v2/tool/manifests/latest`;
    plain.requests.length = 0;
    expect(await ask({ NODE_EXTRA_CA_CERTS: join(dir, 'cert.pem') })).toMatch(/^unavailable: registry\.invalid/);
    expect(plain.requests).toEqual([]);
  });
});
