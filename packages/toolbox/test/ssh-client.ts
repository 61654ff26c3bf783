/** A real SSH client on the toolbox's route, as the gateway is one. */
import { once } from 'node:events';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { Client, type ClientChannel, type ConnectConfig, type ExecOptions, type SFTPWrapper } from 'ssh2';
import { onTestFinished } from 'vitest';
import type { Toolbox } from './toolbox.ts';

export interface Ended {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly code: number | null;
  readonly signal: string | undefined;
}

/** The bare stream behind the 101. */
export async function sshStream(toolbox: Toolbox): Promise<Duplex> {
  const request = http.request({ socketPath: toolbox.socketPath, path: '/ssh', headers: { Connection: 'Upgrade', Upgrade: 'ssh' } }).end();
  const [, socket, head] = (await once(request, 'upgrade')) as [http.IncomingMessage, Duplex, Buffer];
  if (head.length > 0) socket.unshift(head);
  return socket;
}

export async function sshClient(toolbox: Toolbox, config: ConnectConfig = {}): Promise<Client> {
  const client = new Client();
  const ready = once(client, 'ready');
  client.connect({ sock: (await sshStream(toolbox)) as never, username: 'any', strictVendor: false, ...config });
  await ready;
  // The toolbox is killed at the end of a test.
  client.on('error', () => undefined);
  onTestFinished(() => void client.end());
  return client;
}

export function open(client: Client, command: string, options: ExecOptions = {}): Promise<ClientChannel> {
  return new Promise((resolve, reject) => client.exec(command, options, (error, channel) => (error ? reject(error) : resolve(channel))));
}

export function shell(client: Client, window: object | false): Promise<ClientChannel> {
  return new Promise((resolve, reject) => client.shell(window as never, (error, channel) => (error ? reject(error) : resolve(channel))));
}

/** All a channel brings until it closes. */
export async function finish(channel: ClientChannel): Promise<Ended> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let code: number | null = null;
  let signal: string | undefined;
  channel.on('data', (chunk: Buffer) => stdout.push(chunk));
  channel.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  channel.on('exit', (...args: [number | null, string?]) => ([code, signal] = args));
  await once(channel, 'close');
  return { stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr), code, signal };
}

export async function exec(client: Client, command: string, options?: ExecOptions, stdin?: string | Buffer): Promise<Ended> {
  const channel = await open(client, command, options);
  channel.end(stdin);
  return await finish(channel);
}

export function sftp(client: Client): Promise<SFTPWrapper> {
  return new Promise((resolve, reject) => client.sftp((error, wrapper) => (error ? reject(error) : resolve(wrapper))));
}

/** Waits until what a channel has said matches. */
export function watch(channel: ClientChannel): { readonly text: () => string; until(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray> } {
  let text = '';
  channel.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    text: () => text,
    async until(pattern, withinMs = 5000) {
      const end = Date.now() + withinMs;
      for (;;) {
        const found = pattern.exec(text);
        if (found) return found;
        if (Date.now() > end) throw new Error(`${pattern} did not come; got ${JSON.stringify(text)}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
  };
}
