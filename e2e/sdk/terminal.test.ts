import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import WebSocket from 'ws';
import { SDKS, withSandbox } from './support.ts';

const [, sdk] = SDKS[0]!;

/** Node does not resolve `*.localhost`: connect to loopback and keep the preview's name in `Host`. */
function get(url: string, headers: Record<string, string>): Promise<{ status: number; body: string }> {
  const target = new URL(url);
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port: target.port, path: '/', headers: { Host: target.host, ...headers } }, (reply) => {
      let body = '';
      reply.setEncoding('utf8').on('data', (part: string) => (body += part)).on('end', () => resolve({ status: reply.statusCode!, body })).on('error', reject);
    });
    call.on('error', reject);
    call.end();
  });
}

test('the web terminal opens with the token of its preview, never without, on public sandboxes too', async () => {
  await withSandbox(sdk, { public: true }, async (sandbox) => {
    const { url, token } = await sandbox.getPreviewLink(22222);
    const headers = { 'x-daytona-preview-token': token };
    expect([307, 401]).toContain((await get(url, {})).status);
    const page = await get(url, headers);
    expect(page.status).toBe(200);
    expect(page.body).toContain('<title>Terminal</title>');

    const { host, port } = new URL(url);
    const refused = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { Host: host } });
    const [error] = (await once(refused, 'error')) as [Error];
    expect(error.message).toMatch(/30[27]|401/);

    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?session=${'a'.repeat(32)}`, { headers: { Host: host, ...headers } });
    let shown = '';
    socket.on('message', (data) => (shown += data.toString()));
    await once(socket, 'open');
    socket.send(JSON.stringify({ rows: 20, cols: 70 }));
    socket.send('stty size; whoami; pwd\r');
    for (let left = 250; !/20 70\r\ndaytona\r\n\/home\/daytona/.test(shown); left--) {
      if (left === 0) throw new Error(`not shown: ${shown}`);
      await sleep(20);
    }
    socket.send('exit\r');
    expect((await once(socket, 'close'))[0]).toBe(1000);
  });
});
