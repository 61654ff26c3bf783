import { query } from '../http/exchange.ts';
import { EXIT_CONTROL_PROTOCOL, type UpgradeExchange } from '../http/upgrade.ts';
import { ptyEndedByRestart } from '../sessions/orphans.ts';
import { findPtySession, ptySession } from './sessions.ts';

/** Wire: largest piece of keyboard input in one frame. */
export const MAX_INPUT_BYTES = 64 * 1024;

/** Its terminal was cut when the toolbox died, which is SIGHUP to the program, and which clients learn as an exit code. */
const ENDED_BY_RESTART = { exitCode: 129, exitReason: 'the toolbox was restarted' };

/**
 * `GET /process/pty/{sessionId}/connect`. Wire: the upgrade comes first, an unknown session is told by a control frame.
 * With `?replay=true` the latest output comes before the live one.
 */
export async function upgrade(exchange: UpgradeExchange): Promise<void> {
  const id = exchange.params[0]!;
  const socket = await exchange.accept(MAX_INPUT_BYTES);
  try {
    const session = ptySession(id);
    session.start();
    session.attach(socket, exchange.request.socket, { exitControl: exchange.offered.includes(EXIT_CONTROL_PROTOCOL), replay: query(exchange, 'replay') === 'true' });
  } catch (error) {
    const text = `Failed to connect to PTY session: ${(error as Error).message}`;
    socket.send(JSON.stringify({ type: 'control', status: 'error', error: text }));
    socket.close(1011, JSON.stringify(findPtySession(id) === undefined && ptyEndedByRestart(id) ? ENDED_BY_RESTART : { error: 'Failed to connect to PTY session' }));
  }
}
