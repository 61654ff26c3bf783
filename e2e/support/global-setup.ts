import type { TestProject } from 'vitest/node';
import { freePort, startPaddock } from './harness.ts';

/** One server for all files in e2e/sdk and e2e/isolation; a test that kills or reconfigures starts its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Nothing listens there but what a test of images starts: the server finds Docker Hub's images in it.
  const mirrorPort = await freePort();
  // Steps of builds trust what this machine trusts: its way to package registries may lead through a proxy that opens TLS.
  const caFile = process.env['SSL_CERT_FILE'];
  const paddock = await startPaddock({
    warmPool: 'daytona-small=2',
    // A test that is a reverse proxy connects from there.
    env: { PADDOCK_TRUSTED_PROXIES: '127.0.0.2/32', PADDOCK_REGISTRY_MIRRORS: `docker.io=http://127.0.0.1:${mirrorPort}`, ...(caFile ? { PADDOCK_BUILD_CA_FILE: caFile } : {}) },
  });
  project.provide('mirrorPort', mirrorPort);
  project.provide('apiUrl', paddock.apiUrl);
  project.provide('apiKey', paddock.apiKey);
  project.provide('postgresSocketDir', paddock.layout.postgresSocketDir);
  project.provide('dataDir', paddock.layout.dataDir);
  return async () => {
    await paddock.stop();
    const left = paddock.leftovers();
    if (left.length > 0) throw new Error(`left over after the server stopped:\n${left.join('\n')}`);
  };
}
