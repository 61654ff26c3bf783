import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { createHash, randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import WebSocket, { WebSocketServer } from 'ws';
import { freePort, startToolbox } from './toolbox.ts';

async function serve(handler: http.RequestListener, host = '127.0.0.1'): Promise<{ port: number; server: http.Server }> {
  const server = http.createServer(handler).listen(0, host);
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as net.AddressInfo).port, server };
}

test('method, path, query and body go on as they came, Host is the port\'s', async () => {
  const toolbox = await startToolbox();
  const { port } = await serve((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      response.writeHead(207, 'Odd Enough', [['X-Twice', 'a'], ['X-Twice', 'b'], ['Set-Cookie', 'p=1'], ['Set-Cookie', 'q=2']].flat());
      response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }));
    });
  });
  const reply = await toolbox.send('PATCH', `/proxy/${port}/a%2Fb//c/?x=%20+&y`, { headers: { 'X-Own': 'v', Authorization: 'Bearer app', 'X-Forwarded-Host': 'h', Connection: 'x-private', 'X-Private': 'secret' }, body: 'text' });
  expect(reply.status).toBe(207);
  expect(reply.headers).toMatchObject({ 'x-twice': 'a, b', 'set-cookie': ['p=1', 'q=2'] });
  expect(reply.json).toMatchObject({ method: 'PATCH', url: '/a%2Fb//c/?x=%20+&y', body: 'text', headers: { host: `localhost:${port}`, 'x-own': 'v', authorization: 'Bearer app', 'x-forwarded-host': 'h', 'content-length': '4' } });
  expect(reply.json.headers['x-private']).toBeUndefined();
  expect((await toolbox.get(`/proxy/${port}`)).json.url).toBe('/');
  expect((await toolbox.get(`/proxy/${port}?q`)).json.url).toBe('/?q');
});

test('servers that listen on IPv6 alone are found', async () => {
  const toolbox = await startToolbox();
  const { port } = await serve((request, response) => request.pipe(response), '::1');
  expect((await toolbox.post(`/proxy/${port}/`, 'echo')).text).toBe('echo');
});

test('replies stream, and bodies of any size pass unharmed', async () => {
  const toolbox = await startToolbox();
  let release = (): void => {};
  const { port } = await serve((request, response) => {
    if (request.method === 'POST') return void request.pipe(response);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write('data: 1\n\n');
    release = () => response.end('data: 2\n\n');
  });
  const response = await new Promise<http.IncomingMessage>((resolve) => http.get({ socketPath: toolbox.socketPath, path: `/proxy/${port}/events` }, resolve));
  expect(String((await once(response, 'data'))[0])).toBe('data: 1\n\n');
  release();
  expect(String((await once(response, 'data'))[0])).toBe('data: 2\n\n');
  const big = randomBytes(20_000_000);
  const echoed = await toolbox.post(`/proxy/${port}/`, big);
  expect(createHash('sha1').update(echoed.body).digest('hex')).toBe(createHash('sha1').update(big).digest('hex'));
});

test('a reply that breaks off breaks off for the client', async () => {
  const toolbox = await startToolbox();
  const { port } = await serve((_, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('part');
    setTimeout(() => response.destroy(), 50);
  });
  await expect(toolbox.get(`/proxy/${port}/`)).rejects.toThrow(/aborted|hang up|ECONNRESET/);
});

test('a client that goes away ends the request behind', async () => {
  const toolbox = await startToolbox();
  const closed = new Promise<void>((resolve) => {
    void serve((request, response) => void (response.write('x'), request.on('close', resolve))).then(({ port }) => {
      const request = http.get({ socketPath: toolbox.socketPath, path: `/proxy/${port}/` }, () => request.destroy());
      request.on('error', () => {});
    });
  });
  await closed;
});

test('a server that closed its idle connection is asked again', async () => {
  const toolbox = await startToolbox();
  const { port, server } = await serve((_, response) => response.end('ok'));
  expect((await toolbox.get(`/proxy/${port}/`)).text).toBe('ok');
  server.closeAllConnections();
  expect((await toolbox.get(`/proxy/${port}/`)).text).toBe('ok');
});

test('nobody there is a 502 with the envelope', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.post(`/proxy/${await freePort()}/x`, 'body');
  expect([reply.status, reply.json.source]).toEqual([502, 'DAYTONA_DAEMON']);
});

test.each(['0', '65536', '02280', '+2280', '1e3', 'x', '', '%32280', '80:80', '127.0.0.1:80'])('the port %j is refused', async (port) => {
  const toolbox = await startToolbox();
  expect((await toolbox.get(`/proxy/${port}/`)).status).toBe(400);
  const text = await toolbox.raw(`GET /proxy/${port}/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`);
  expect(text).toMatch(/^HTTP\/1.1 400 /);
});

test('WebSockets: subprotocol, both directions, large frames, close code', async () => {
  const toolbox = await startToolbox();
  const { port, server } = await serve((_, response) => response.end());
  const sockets = new WebSocketServer({ server, handleProtocols: (offered) => [...offered][1]! });
  sockets.on('connection', (socket, request) => {
    socket.send(`hello ${request.url} ${request.headers.host}`);
    socket.on('message', (data, binary) => (String(data) === 'bye' ? socket.close(4123, 'reason') : socket.send(data, { binary })));
  });
  const client = new WebSocket(`ws+unix://${toolbox.socketPath}:/proxy/${port}/ws?a=%20b`, ['one', 'two']);
  const messages: Buffer[] = [];
  client.on('message', (data: Buffer) => messages.push(data));
  await once(client, 'open');
  expect(client.protocol).toBe('two');
  const big = randomBytes(5_000_000);
  client.send(big);
  await expect.poll(() => messages.length).toBe(2);
  expect(messages[0]!.toString()).toBe(`hello /ws?a=%20b localhost:${port}`);
  expect(messages[1]!.equals(big)).toBe(true);
  client.send('bye');
  const [code, reason] = await once(client, 'close');
  expect([code, String(reason)]).toEqual([4123, 'reason']);
  sockets.close();
});

test('a WebSocket that is refused shows the server\'s own reply, nobody there a 502', async () => {
  const toolbox = await startToolbox();
  const { port, server } = await serve((_, response) => response.end());
  server.on('upgrade', (_, socket) => socket.end('HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
  const status = async (at: number) => {
    const client = new WebSocket(`ws+unix://${toolbox.socketPath}:/proxy/${at}/`);
    client.on('error', () => {});
    const [, response] = await once(client, 'unexpected-response');
    return response.statusCode;
  };
  expect(await status(port)).toBe(418);
  expect(await status(await freePort())).toBe(502);
});

test('after a refused WebSocket the connection is over: nothing more reaches the server through it', async () => {
  const toolbox = await startToolbox();
  const paths: string[] = [];
  const { port } = await serve((request, response) => {
    paths.push(request.url!);
    response.end('plain');
  });
  const text = await toolbox.raw(`GET /proxy/${port}/a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n`);
  expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*Connection: close\r\n\r\nplain$/);
  expect(paths).toEqual(['/a']);
});

test('other protocols are not switched to', async () => {
  const toolbox = await startToolbox();
  const { port } = await serve((request, response) => request.pipe(response.setHeader('X-Upgrade', String(request.headers.upgrade))));
  const text = await toolbox.raw(`POST /proxy/${port}/ HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\nContent-Length: 4\r\n\r\nbody`);
  expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  expect(text).toContain('X-Upgrade: undefined');
  expect(text).toContain('body');
});
