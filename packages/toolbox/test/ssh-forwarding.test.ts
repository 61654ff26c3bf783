import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { BaseAgent, type ClientChannel } from 'ssh2';
import { expect, onTestFinished, test } from 'vitest';
import { exec, sshClient } from './ssh-client.ts';
import { eventually, startToolbox } from './toolbox.ts';

/** Sends back in capitals what it got, once the other side has ended. */
async function capitals(where: net.ListenOptions): Promise<number> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('end', () => socket.end(text.toUpperCase()));
  }).listen(where);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as net.AddressInfo).port;
}

async function talk(stream: Duplex, text: string): Promise<string> {
  let got = '';
  stream.on('data', (chunk: Buffer) => (got += chunk.toString()));
  stream.end(text);
  await once(stream, 'end');
  return got;
}

test('connects from inside, each direction ending on its own', async () => {
  const client = await sshClient(await startToolbox());
  const port = await capitals({ port: 0, host: '127.0.0.1' });
  const out = promisify(client.forwardOut.bind(client)) as (...args: unknown[]) => Promise<ClientChannel>;
  const long = 'long '.repeat(1_000_000);
  expect(await talk(await out('127.0.0.1', 1, '127.0.0.1', port), long)).toBe(long.toUpperCase());
  expect(await talk(await out('127.0.0.1', 1, 'localhost', port), 'named')).toBe('NAMED');
  await expect(out('127.0.0.1', 1, '127.0.0.1', 1)).rejects.toThrow(/open failure/i);
  await expect(out('127.0.0.1', 1, '127.0.0.1', 70_000)).rejects.toThrow(/open failure/i);
});

test('connects to unix sockets', async () => {
  const toolbox = await startToolbox();
  const client = await sshClient(toolbox);
  await capitals({ path: join(toolbox.dir, 'echo.sock') });
  const out = promisify(client.openssh_forwardOutStreamLocal.bind(client)) as (path: string) => Promise<ClientChannel>;
  expect(await talk(await out('echo.sock'), 'hello')).toBe('HELLO');
  await expect(out('/no/such.sock')).rejects.toThrow(/open failure/i);
});

test('listens inside until told to stop or the client is gone', async () => {
  const client = await sshClient(await startToolbox());
  client.on('tcp connection', (info, accept) => void accept().end(`for ${info.destIP} ${info.destPort}`));
  const listen = promisify(client.forwardIn.bind(client)) as (host: string, port: number) => Promise<number>;
  const port = await listen('localhost', 0);
  for (const host of ['127.0.0.1', '::1']) expect(await talk(net.connect(port, host), 'x')).toBe(`for localhost ${port}`);
  await expect(listen('localhost', port)).rejects.toThrow();
  await promisify(client.unforwardIn.bind(client))('localhost', port);
  const refused = (at: number): Promise<boolean> => new Promise((resolve) => {
    const socket = net.connect(at, '127.0.0.1', () => { socket.destroy(); resolve(false); });
    socket.on('error', () => resolve(true)); // also one that comes after the connection: the listener may go in between
  });
  expect(await refused(port)).toBe(true);
  const second = await listen('localhost', 0);
  client.destroy();
  await eventually(() => refused(second));
});

test('listens on a unix socket and removes it', async () => {
  const toolbox = await startToolbox();
  const client = await sshClient(toolbox);
  client.on('unix connection', (info, accept) => void accept().end(info.socketPath));
  const path = join(toolbox.dir, 'back.sock');
  await promisify(client.openssh_forwardInStreamLocal.bind(client))(path);
  expect(await talk(net.connect(path), '')).toBe(path);
  client.destroy();
  await eventually(() => !existsSync(path));
});

test('hands programs the agent of the client', async () => {
  const agentSocket = `/tmp/ssh-agent-${process.pid}.sock`;
  await capitals({ path: agentSocket });
  class Forwarded extends BaseAgent {
    override getIdentities(done: (error: Error | undefined, keys: never[]) => void): void {
      done(undefined, []);
    }
    override sign(...args: never[]): void {
      (args.at(-1) as unknown as (error: Error) => void)(new Error('none'));
    }
    override getStream(done: (error: Error | undefined, stream: Duplex) => void): void {
      done(undefined, net.connect(agentSocket));
    }
  }
  const toolbox = await startToolbox();
  const client = await sshClient(toolbox, { agent: new Forwarded() as never, agentForward: true });
  const script = `require("net").connect({path:process.env.SSH_AUTH_SOCK,allowHalfOpen:true}).end("question").pipe(process.stdout)`;
  const ended = await exec(client, `stat -c %a $(dirname $SSH_AUTH_SOCK); ${process.execPath} -e '${script}'; echo; echo $SSH_AUTH_SOCK`);
  const [mode, answer, path] = ended.stdout.toString().trim().split('\n');
  expect([mode, answer]).toEqual(['700', 'QUESTION']);
  await eventually(() => !existsSync(path!));
});
