import { describe, expect, test } from 'vitest';
import { request } from 'node:http';
import { SDKS, withSandbox, type Sandbox } from './support.ts';

/** Node does not resolve `*.localhost`: connect to loopback and keep the preview's name in `Host`. */
function fetchPreview(url: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }> {
  const target = new URL(url);
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port: target.port, path: target.pathname + target.search, headers: { Host: target.host, ...headers } },
      (reply) => {
        const parts: Buffer[] = [];
        reply.on('data', (part: Buffer) => parts.push(part));
        reply.on('end', () => resolve({ status: reply.statusCode!, body: Buffer.concat(parts).toString(), headers: reply.headers }));
        reply.on('error', reject);
      },
    );
    call.on('error', reject);
    call.end();
  });
}

async function serve(sandbox: Sandbox, port: number): Promise<void> {
  await sandbox.process.executeCommand(
    `mkdir -p site && echo hello-${port} > site/index.html && cd site && (nohup python3 -m http.server ${port} >/dev/null 2>&1 &)
     for i in $(seq 100); do curl -s localhost:${port} >/dev/null && break; sleep 0.05; done`,
  );
}

describe.each(SDKS)('previews and signed URLs with %s', (_name, sdk) => {
  test('a private preview opens with its token as header or query, not without', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await serve(sandbox, 3000);
      const { url, token } = await sandbox.getPreviewLink(3000);
      expect(new URL(url).hostname).toBe(`3000-${sandbox.id}.localhost`);
      expect((await fetchPreview(url, { 'x-daytona-preview-token': token })).body).toBe('hello-3000\n');
      const byQuery = await fetchPreview(`${url}/?DAYTONA_SANDBOX_AUTH_KEY=${token}`);
      expect(byQuery.body).toBe('hello-3000\n');
      const cookie = String(byQuery.headers['set-cookie']).split(';')[0]!;
      expect((await fetchPreview(url, { cookie })).body).toBe('hello-3000\n');
      expect([307, 401]).toContain((await fetchPreview(url)).status);
      expect([307, 401]).toContain((await fetchPreview(url, { 'x-daytona-preview-token': 'x'.repeat(32) })).status);
    });
  });

  test('a public preview is open, its reserved ports are not', async () => {
    await withSandbox(sdk, { public: true }, async (sandbox) => {
      await serve(sandbox, 8000);
      expect((await fetchPreview((await sandbox.getPreviewLink(8000)).url)).body).toBe('hello-8000\n');
      for (const port of [2280, 22222, 33333]) {
        expect([307, 401]).toContain((await fetchPreview((await sandbox.getPreviewLink(port)).url)).status);
      }
      const trick = (await sandbox.getPreviewLink(8000)).url.replace('//8000-', '//02280-');
      expect((await fetchPreview(`${trick}/version`)).status).toBeGreaterThanOrEqual(400);
    });
  });

  test('a signed preview works until it is expired', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await serve(sandbox, 5000);
      const signed = await sandbox.getSignedPreviewUrl(5000, 60);
      expect((await fetchPreview(signed.url)).body).toBe('hello-5000\n');
      const otherPort = signed.url.replace('//5000-', '//5001-');
      expect((await fetchPreview(otherPort)).status).toBeGreaterThanOrEqual(400);
      await sandbox.expireSignedPreviewUrl(5000, signed.token);
      expect((await fetchPreview(signed.url)).status).toBeGreaterThanOrEqual(400);
    });
  });

  test('signed file URLs need no key and die with the signing key', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.fs.uploadFile(Buffer.from('signed content'), '/tmp/a file.txt');
      const download = await sandbox.downloadUrl('/tmp/a file.txt');
      expect(await (await fetch(download)).text()).toBe('signed content');
      const upload = await sandbox.uploadUrl('/tmp/up.txt');
      const form = new FormData();
      form.set('file', new Blob(['from a form']), 'whatever.txt');
      expect((await fetch(upload, { method: 'POST', body: form })).status).toBe(200);
      expect((await sandbox.fs.downloadFile('/tmp/up.txt')).toString()).toBe('from a form');
      expect((await fetch(download.replace('a+file', 'b+file').replace('a%20file', 'b%20file'))).status).toBe(401);
      await sandbox.rotateSigningKey();
      expect((await fetch(download)).status).toBe(401);
    });
  });
});
