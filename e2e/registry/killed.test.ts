import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPaddock, type Paddock } from '../support/harness.ts';
import { makeLayout, missing, run, type PushAccess } from './support.ts';

const reason = missing('skopeo');
if (reason) console.log(`skipped: pushes through the death of the control plane (${reason})`);

let paddock: Paddock;
beforeAll(async () => { if (!reason) paddock = await startPaddock(); });
afterAll(() => paddock?.stop());

async function pushAccess(): Promise<PushAccess> {
  const reply = await fetch(`${paddock.apiUrl}/docker-registry/registry-push-access`, { headers: { authorization: `Bearer ${paddock.apiKey}` } });
  return (await reply.json()) as PushAccess;
}

test.skipIf(reason)('pushes through kill -9 of the control plane: credentials outlive it, uploads go on, what was accepted is whole', async () => {
  const access = await pushAccess();
  const auth = { authorization: `Basic ${Buffer.from(`${access.username}:${access.secret}`).toString('base64')}` };
  const base = `http://${access.registryUrl}`;

  // An upload, by hand: one piece, death, the next piece.
  const content = randomBytes(2_000_000);
  const started = await fetch(`${base}/v2/${access.project}/killed/blobs/uploads/`, { method: 'POST', headers: auth });
  const location = `${base}${started.headers.get('location')}`;
  expect((await fetch(location, { method: 'PATCH', headers: auth, body: content.subarray(0, 1_000_000) })).status).toBe(202);
  const cut = request(location, { method: 'PATCH', headers: { ...auth, 'content-length': '1000000' } });
  cut.on('error', () => undefined);
  cut.write(content.subarray(1_000_000, 1_500_000));
  await sleep(200);
  expect(paddock.kill9('control')).toBe(true);
  await back(location, auth);
  expect((await fetch(location, { headers: auth })).headers.get('range')).toBe('0-999999');
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
  expect((await fetch(`${location}?digest=${digest}`, { method: 'PUT', headers: auth, body: content.subarray(1_000_000) })).status).toBe(201);

  // A client, which begins again by itself or is started again; what it pushed before is not sent twice.
  const layout = await makeLayout(Array.from({ length: 4 }, (_, i) => [{ path: `layer-${i}`, content: randomBytes(20_000_000) }]));
  try {
    const push = () => run('skopeo', ['--insecure-policy', 'copy', '--retry-times', '3', '--dest-tls-verify=false', '--dest-creds', `${access.username}:${access.secret}`, `oci:${layout.directory}:v1`, `docker://${access.registryUrl}/${access.project}/killed:v1`]);
    for (const waitMs of [150, 400]) {
      const pushing = push();
      await sleep(waitMs);
      expect(paddock.kill9('control')).toBe(true);
      await back(location, auth);
      await pushing;
    }
    const pushed = await push();
    expect(pushed.status, pushed.output).toBe(0);
    const pulled = await run('skopeo', ['--insecure-policy', 'copy', '--src-tls-verify=false', '--src-creds', `${access.username}:${access.secret}`, `docker://${access.registryUrl}/${access.project}/killed@${layout.digest}`, `dir:${layout.directory}/pulled`]);
    expect(pulled.status, pulled.output).toBe(0);
  } finally {
    layout.remove();
  }
}, 180_000);

/** Answers something again, whatever it is. */
async function back(url: string, headers: Record<string, string>): Promise<void> {
  for (;;) {
    const status = await fetch(url, { headers }).then((reply) => reply.status, () => 503);
    if (status !== 503) return;
    await sleep(50);
  }
}
