import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { AcceptConnection, Connection, RejectConnection, Server, ServerChannel, ServerConfig, Session } from 'ssh2';

export type { AcceptConnection, Connection, RejectConnection, ServerChannel, Session };

let loaded: (new (config: ServerConfig) => Server) | null = null;

/** The server half of `ssh2`. A file of its own beside this program: most sandboxes never speak SSH and do not pay for its text. */
export function serverClass(): new (config: ServerConfig) => Server {
  const file = join(__dirname, 'ssh.cjs');
  return (loaded ??= createRequire(file)(file) as new (config: ServerConfig) => Server);
}

/** What of a channel the public types leave out: ends of one direction, and the pieces that wait for the peer's window. */
export interface ChannelInside {
  /** Ends our direction and leaves the other open: `end` would close both. */
  eof(): void;
  _chunk: Buffer | undefined;
  _chunkcb: (() => void) | undefined;
  _chunkErr: Buffer | undefined;
  _chunkcbErr: (() => void) | undefined;
}

export const insideOf = (channel: ServerChannel): ChannelInside => channel as unknown as ChannelInside;
