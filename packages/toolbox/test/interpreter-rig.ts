import { connect, type Peer } from './websocket.ts';
import type { Toolbox } from './toolbox.ts';

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly error: { name: string; value: string; traceback: string } | null;
  readonly controls: readonly string[];
  readonly code: number;
  readonly reason: string;
  readonly types: readonly string[];
}

export async function start(toolbox: Pick<Toolbox, 'socketPath'>, request: unknown): Promise<Peer> {
  const peer = await connect(toolbox, '/process/interpreter/execute');
  peer.socket.send(typeof request === 'string' ? request : JSON.stringify(request));
  return peer;
}

/** One run from its request to the close of its socket. */
export async function execute(toolbox: Pick<Toolbox, 'socketPath'>, code: string, more: object = {}): Promise<Ran> {
  return outcome(await start(toolbox, { code, ...more }));
}

export async function outcome(peer: Peer): Promise<Ran> {
  const { code, reason } = await peer.closed();
  const text = (type: string): string => peer.texts.filter((frame) => frame.type === type).map((frame) => frame.text).join('');
  const error = peer.texts.find((frame) => frame.type === 'error');
  return {
    stdout: text('stdout'), stderr: text('stderr'), code, reason,
    error: error === undefined ? null : { name: error.name, value: error.value, traceback: error.traceback },
    controls: peer.texts.filter((frame) => frame.type === 'control').map((frame) => frame.text),
    types: peer.texts.map((frame) => frame.type),
  };
}
