/** Shared by the tests of sessions. */
import { once } from 'node:events';
import net from 'node:net';
import WebSocket from 'ws';
import { expect } from 'vitest';
import type { Reply, Toolbox } from './toolbox.ts';

/** What a client of the newest generation sends. */
export const NEW = { 'X-Daytona-SDK-Version': '0.216.0' };

export interface TestSession {
  readonly id: string;
  exec(command: string, more?: object, headers?: Record<string, string>): Promise<Reply>;
  /** Runs to the end. @returns the reply's JSON */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  run(command: string): Promise<any>;
  /** Starts it in the background. @returns its id */
  start(command: string, more?: object): Promise<string>;
  input(commandId: string, data: string): Promise<Reply>;
  get(path: string, headers?: Record<string, string>): Promise<Reply>;
  exitCode(commandId: string): Promise<number | undefined>;
  delete(): Promise<Reply>;
}

export async function newSession(toolbox: Toolbox, id = 's'): Promise<TestSession> {
  expect(await toolbox.post('/process/session', { sessionId: id })).toMatchObject({ status: 201, text: '' });
  const base = `/process/session/${encodeURIComponent(id)}`;
  const session: TestSession = {
    id,
    exec: (command, more, headers = NEW) => toolbox.post(`${base}/exec`, { command, ...more }, headers),
    run: async (command) => (await session.exec(command)).json,
    async start(command, more) {
      const reply = await session.exec(command, { runAsync: true, ...more });
      expect(reply.status).toBe(202);
      expect(reply.json).toEqual({ cmdId: expect.any(String) });
      return reply.json.cmdId;
    },
    input: (commandId, data) => toolbox.post(`${base}/command/${commandId}/input`, { data }),
    get: (path, headers = NEW) => toolbox.get(`${base}${path}`, headers),
    exitCode: async (commandId) => (await session.get(`/command/${commandId}`)).json.exitCode,
    delete: () => toolbox.send('DELETE', base),
  };
  return session;
}

export interface Follower {
  readonly socket: WebSocket;
  readonly frames: Buffer[];
  /** Settles with the close code. */
  readonly closed: Promise<number>;
  text(): string;
}

export function follow(toolbox: Toolbox, path: string, headers: Record<string, string> = NEW, protocols: string[] = []): Follower {
  const socket = new WebSocket(`ws+unix://${toolbox.socketPath}:${path}`, protocols, { headers });
  const frames: Buffer[] = [];
  socket.on('message', (data: Buffer) => frames.push(data));
  const closed = new Promise<number>((resolve, reject) => {
    socket.once('close', resolve);
    socket.once('error', reject);
  });
  return { socket, frames, closed, text: () => Buffer.concat(frames).toString() };
}

export const logsPath = (session: TestSession, commandId: string): string => `/process/session/${session.id}/command/${commandId}/logs?follow=true`;

/** A WebSocket client that can stop reading: `ws` would keep taking what comes. @returns the socket behind the handshake */
export async function rawFollower(toolbox: Toolbox, path: string): Promise<net.Socket> {
  const socket = net.connect(toolbox.socketPath);
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Daytona-SDK-Version: 1.0.0\r\n\r\n`);
  await once(socket, 'readable');
  return socket;
}

/** What arrived on each stream, split as clients do it. */
export function demux(bytes: Buffer): { stdout: string; stderr: string } {
  const out: Record<number, Buffer[]> = { 1: [], 2: [] };
  let stream = 0;
  let from = 0;
  for (let at = 0; at + 3 <= bytes.length; at++) {
    const marker = bytes[at]!;
    if ((marker !== 1 && marker !== 2) || bytes[at + 1] !== marker || bytes[at + 2] !== marker) continue;
    if (stream !== 0) out[stream]!.push(bytes.subarray(from, at));
    stream = marker;
    from = at + 3;
    at += 2;
  }
  if (stream !== 0) out[stream]!.push(bytes.subarray(from));
  return { stdout: Buffer.concat(out[1]!).toString(), stderr: Buffer.concat(out[2]!).toString() };
}
