import { EXIT_CONTROL_PROTOCOL, type UpgradeExchange } from '../http/upgrade.ts';
import { MAX_INPUT_BYTES } from './connect.ts';
import { ptyRequestOfQuery } from './request.ts';
import { createPtySession } from './sessions.ts';

/** `GET /process/pty/create-connect`: both in one go, from the first byte. Wire: refusals are HTTP statuses, given before the upgrade. */
export async function upgrade(exchange: UpgradeExchange): Promise<void> {
  const session = createPtySession(ptyRequestOfQuery(exchange.search, exchange.offered));
  try {
    const socket = await exchange.accept(MAX_INPUT_BYTES);
    // What the shell has said during the handshake is in the scrollback.
    session.attach(socket, exchange.request.socket, { exitControl: exchange.offered.includes(EXIT_CONTROL_PROTOCOL), replay: true });
  } catch (error) {
    session.kill();
    throw error;
  }
}
