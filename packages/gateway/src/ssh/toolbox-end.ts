import { request } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** The toolbox accepts late when it restarts: the kernel then says EAGAIN. Together five seconds, longer than it takes to come back. */
const BACKLOG_RETRIES = 50;
const BACKLOG_WAIT_MS = 100;

/** A stream on which the toolbox speaks SSH, and what of it came with the handshake. */
export interface ToolboxStream {
  readonly stream: Duplex;
  readonly head: Buffer;
}

/**
 * Asks the sandbox's toolbox to speak SSH: HTTP upgrade of `GET /ssh`.
 * @returns null when nobody answers or the toolbox has no SSH
 */
export async function dialToolbox(socketPath: string, signal: AbortSignal): Promise<ToolboxStream | null> {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await upgrade(socketPath, signal);
    if (answer !== 'busy') return answer;
    if (attempt >= BACKLOG_RETRIES || signal.aborted) return null;
    await sleep(BACKLOG_WAIT_MS);
  }
}

function upgrade(socketPath: string, signal: AbortSignal): Promise<ToolboxStream | 'busy' | null> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: '/ssh', agent: false, headers: { host: 'localhost', connection: 'Upgrade', upgrade: 'ssh' }, signal });
    call.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EAGAIN' ? 'busy' : null));
    call.on('response', (reply) => {
      reply.destroy();
      resolve(null);
    });
    call.on('upgrade', (_reply, stream, head) => {
      if (stream instanceof Socket) stream.setTimeout(0);
      resolve({ stream, head });
    });
    call.end();
  });
}
