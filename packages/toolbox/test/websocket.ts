/** Test rig: a WebSocket client of the toolbox that keeps every frame it got. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import { onTestFinished } from 'vitest';
import type { Toolbox } from './toolbox.ts';

export interface Peer {
  readonly socket: WebSocket;
  /** Text frames, as JSON where they are. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly texts: any[];
  /** Bytes of all binary frames. */
  bytes(): Buffer;
  /** Status of the refusal when the server did not take the upgrade. */
  readonly refused: { status: number; body: string } | null;
  /** Resolves when the text shows up in the binary frames. */
  sees(text: string | RegExp): Promise<void>;
  closed(): Promise<{ code: number; reason: string }>;
}

export async function connect(toolbox: Pick<Toolbox, 'socketPath'>, path: string, protocols: readonly string[] = []): Promise<Peer> {
  const socket = new WebSocket(`ws+unix://${toolbox.socketPath}:${path}`, [...protocols]);
  const chunks: Buffer[] = [];
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const texts: any[] = [];
  let refused: Peer['refused'] = null;
  const closing = new Promise<{ code: number; reason: string }>((resolve) => socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })));
  socket.on('message', (data, isBinary) => {
    if (isBinary) chunks.push(data as Buffer);
    else texts.push(parsed(data.toString()));
  });
  socket.on('error', () => undefined);
  onTestFinished(() => socket.terminate());
  const refusal = new Promise<void>((resolve) => socket.once('unexpected-response', (_request, response: IncomingMessage) => {
    const body: Buffer[] = [];
    response.on('data', (chunk: Buffer) => body.push(chunk));
    response.once('end', () => {
      refused = { status: response.statusCode!, body: Buffer.concat(body).toString() };
      resolve();
    });
  }));
  await Promise.race([once(socket, 'open'), refusal]);
  const bytes = (): Buffer => Buffer.concat(chunks);
  return {
    socket, texts, bytes,
    get refused() {
      return refused;
    },
    closed: () => closing,
    async sees(text) {
      const end = Date.now() + 10_000;
      for (;;) {
        const all = bytes().toString();
        if (typeof text === 'string' ? all.includes(text) : text.test(all)) return;
        if (Date.now() > end || socket.readyState === socket.CLOSED) throw new Error(`never saw ${text}; got ${JSON.stringify(all.slice(-2000))}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
