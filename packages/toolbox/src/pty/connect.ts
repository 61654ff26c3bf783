import { query } from '../http/exchange.ts';
import { EXIT_CONTROL_PROTOCOL, type UpgradeExchange } from '../http/upgrade.ts';
import { ptySession } from './sessions.ts';

/** Wire: largest piece of keyboard input in one frame. */
export const MAX_INPUT_BYTES = 64 * 1024;

/**
 * `GET /process/pty/{sessionId}/connect`. Wire: the upgrade comes first, an unknown session is told by a control frame.
 * With `?replay=true` the latest output comes before the live one.
 */
export async function upgrade(exchange: UpgradeExchange): Promise<void> {
  const socket = await exchange.accept(MAX_INPUT_BYTES);
  try {
    const session = ptySession(exchange.params[0]!);
    session.start();
    session.attach(socket, exchange.request.socket, { exitControl: exchange.offered.includes(EXIT_CONTROL_PROTOCOL), replay: query(exchange, 'replay') === 'true' });
  } catch (error) {
    const text = `Failed to connect to PTY session: ${(error as Error).message}`;
    socket.send(JSON.stringify({ type: 'control', status: 'error', error: text }));
    socket.close(1011, JSON.stringify({ error: 'Failed to connect to PTY session' }));
  }
}
