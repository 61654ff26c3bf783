/** HTTPS for programs of this folder: the Python SDK's storage library speaks nothing else. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import type { Drive } from './python.ts';

const SYSTEM_CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** A certificate authority that nothing but the tests' own view of the machine trusts, and a certificate of its for localhost. */
function makeCertificates(directory: string): { key: Buffer; cert: Buffer; bundle: string } {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=Test authority', '-addext', 'basicConstraints=critical,CA:TRUE');
  openssl('req', ...ec, '-keyout', 'key.pem', '-out', 'request.pem', '-subj', '/CN=localhost');
  writeFileSync(join(directory, 'extensions'), 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n');
  openssl('x509', '-req', '-in', 'request.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'extensions', '-out', 'cert.pem');
  const bundle = join(directory, 'bundle.pem');
  writeFileSync(bundle, Buffer.concat([readFileSync(SYSTEM_CERTIFICATES), readFileSync(join(directory, 'ca.pem'))]));
  return { key: readFileSync(join(directory, 'key.pem')), cert: readFileSync(join(directory, 'cert.pem')), bundle };
}

/** HTTPS in front of the server, as an operator's reverse proxy is: keeps Host, says how it was reached. */
async function startProxy(key: Buffer, cert: Buffer) {
  const { hostname, port } = new URL(inject('apiUrl'));
  const proxy = createServer({ key, cert }, (req, res) => {
    const onward = request({ hostname: hostname === 'localhost' ? '127.0.0.1' : hostname, port, localAddress: '127.0.0.2', method: req.method, path: req.url, headers: { ...req.headers, 'x-forwarded-proto': 'https', 'x-forwarded-host': req.headers.host } }, (reply) => {
      res.writeHead(reply.statusCode!, reply.headers);
      reply.pipe(res);
    });
    onward.on('error', () => res.destroy());
    req.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return { origin: `https://localhost:${(proxy.address() as AddressInfo).port}`, close: () => proxy.closeAllConnections() ?? proxy.close() };
}

/** @param use gets the address, and what makes a program use and trust it */
export async function throughHttps(use: (origin: string, drive: Drive) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'paddock-https-'));
  try {
    const { key, cert, bundle } = makeCertificates(directory);
    const proxy = await startProxy(key, cert);
    try {
      // A machine that trusts the authority: for obstore the system's bundle, for Python's own TLS the variable.
      const through = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `mount --bind "$SSL_CERT_FILE" ${SYSTEM_CERTIFICATES} && exec "$@"`, 'sh'];
      await use(proxy.origin, { env: { DAYTONA_API_URL: `${proxy.origin}/api`, SSL_CERT_FILE: bundle }, through });
    } finally {
      proxy.close();
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}
