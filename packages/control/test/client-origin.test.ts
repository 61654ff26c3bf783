import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { createClientOrigin } from '../src/http/index.ts';

/** What is made of a real request with these headers. */
async function originOf(config: { publicUrl: string; trustedProxies?: readonly string[] }, headers: Record<string, string>): Promise<string> {
  const find = createClientOrigin({ trustedProxies: [], ...config });
  const server = createServer((req, res) => res.end(find(req).origin));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await new Promise<string>((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, headers }, (res) => {
        let text = '';
        res.on('data', (chunk: Buffer) => { text += chunk.toString(); });
        res.on('end', () => resolve(text));
      });
      req.on('error', reject);
      req.end();
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('is where the client found us: its Host, without TLS unless that is the public name', async () => {
  const config = { publicUrl: 'https://paddock.example' };
  expect(await originOf(config, { host: 'box.lan:3000' })).toBe('http://box.lan:3000');
  expect(await originOf(config, { host: 'paddock.example' })).toBe('https://paddock.example');
  expect(await originOf(config, { host: 'Paddock.Example' })).toBe('https://paddock.example');
  expect(await originOf({ publicUrl: 'http://localhost:3000' }, { host: 'localhost:3000' })).toBe('http://localhost:3000');
  expect(await originOf({ publicUrl: 'http://localhost:3000' }, { host: '[::1]:3000' })).toBe('http://[::1]:3000');
});

test('is the public URL when the header is no host: it ends up in links and challenges', async () => {
  for (const host of ['host:99999', '1.2.3.999', '[1:2]', 'a b', 'x"y', 'a/b', 'user@host', 'a,b', '-', 'host:', 'host:123456', '[::1', '<script>']) {
    expect(await originOf({ publicUrl: 'https://paddock.example' }, { host }), host).toBe('https://paddock.example');
  }
});

test('is what a trusted proxy says, and a stranger\'s word counts for nothing', async () => {
  const headers = { host: 'inner:3000', 'x-forwarded-host': 'client.lie, outer.example', 'x-forwarded-proto': 'https' };
  const publicUrl = 'http://localhost:3000';
  expect(await originOf({ publicUrl, trustedProxies: ['127.0.0.0/8'] }, headers)).toBe('https://outer.example');
  expect(await originOf({ publicUrl, trustedProxies: ['127.0.0.1'] }, headers)).toBe('https://outer.example');
  expect(await originOf({ publicUrl, trustedProxies: ['10.0.0.0/8', '::1/128'] }, headers)).toBe('http://inner:3000');
  expect(await originOf({ publicUrl }, headers)).toBe('http://inner:3000');
  expect(await originOf({ publicUrl, trustedProxies: ['127.0.0.1'] }, { host: 'inner:3000', 'x-forwarded-proto': 'gopher' })).toBe('http://inner:3000');
});
